<?php
// Charges a merchant for one request that was served: php charge.php REQUEST. Needs PHP 8 and no extension.
const ATTEMPTS = 6;
const TIMEOUT_SECONDS = 10;
// 0 stands for no whole answer. Each may have been charged or not, so each is asked again, under the same key.
const AGAIN = [0, 408, 429, 500, 502, 503, 504];

class NotCharged extends Exception
{
}

/** Returns the status, 0 without a whole answer; how many seconds to wait; and the envelope. */
function send(string $url, string $key, string $body): array
{
    $context = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => ["x-api-key: $key", 'content-type: application/json'],
        'content' => $body,
        'ignore_errors' => true,
        'timeout' => TIMEOUT_SECONDS,
    ]]);
    $content = @file_get_contents("$url/api/charges", false, $context);
    $envelope = json_decode((string) $content, true);
    if (!is_array($envelope)) {
        return [0, 0, ['errorMessage' => 'no whole answer']];
    }
    $wait = 0;
    foreach ($http_response_header as $line) {
        if (preg_match('/^retry-after: *(\d+)/i', $line, $found)) {
            $wait = (int) $found[1];
        }
    }
    return [(int) explode(' ', $http_response_header[0])[1], $wait, $envelope];
}

/** Returns what was charged; amounts stay strings, which a float would round. One that you send is a string, too. */
function charge(string $url, string $key, array $fields): array
{
    $body = json_encode($fields, JSON_THROW_ON_ERROR);
    for ($attempt = 1; ; $attempt++) {
        [$status, $wait, $envelope] = send($url, $key, $body);
        if ($status >= 200 && $status <= 299) {
            return $envelope['data'];
        }
        if ($status === 402) {
            throw new NotCharged($envelope['errorMessage']);
        }
        if (!in_array($status, AGAIN, true) || $attempt === ATTEMPTS) {
            throw new RuntimeException("Farebox answered $status: {$envelope['errorMessage']}");
        }
        usleep((int) (1e6 * max($wait, 0.2 * 2 ** $attempt * mt_rand() / mt_getrandmax())));
    }
}

try {
    // The id of your request is the idempotency key: however often it is sent, the request is charged once.
    $fields = ['merchant' => getenv('FAREBOX_MERCHANT'), 'type' => 'image', 'quantity' => 1, 'idempotencyKey' => $argv[1]];
    $charged = charge(getenv('FAREBOX_URL') ?: 'http://127.0.0.1:8000', getenv('FAREBOX_API_KEY'), $fields);
    echo "Charged {$charged['cost']}, {$charged['available']} left.\n";
} catch (NotCharged $refusal) {
    echo "Not charged: {$refusal->getMessage()}\n";
    exit(3);
}
