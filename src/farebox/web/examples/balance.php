<?php
// Reads the balance and says whether it is low. Needs PHP 8 and no extension.
const THRESHOLD = '100';

function read_balance(): string
{
    $url = getenv('FAREBOX_URL') ?: 'http://127.0.0.1:8000';
    $header = 'x-api-key: ' . getenv('FAREBOX_API_KEY');
    $context = stream_context_create(['http' => ['header' => $header, 'ignore_errors' => true, 'timeout' => 30]]);
    $body = (string) file_get_contents("$url/api/balance", false, $context);
    $envelope = json_decode($body, true, flags: JSON_THROW_ON_ERROR);
    $status = (int) explode(' ', $http_response_header[0])[1];
    if ($status < 200 || $status > 299) {
        throw new RuntimeException("Farebox answered $status: {$envelope['errorMessage']}");
    }
    return str_replace(',', '', $envelope['data']);
}

// A float would round: millionths as an integer are exact.
function micros(string $amount): int
{
    [$whole, $fraction] = [...explode('.', $amount), ''];
    return (int) ($whole . str_pad($fraction, 6, '0'));
}

$balance = read_balance();
echo "Balance: $balance\n";
if (micros($balance) < micros(THRESHOLD)) {
    echo 'Below ' . THRESHOLD . ": top up.\n";
}
