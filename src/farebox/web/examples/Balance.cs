// Reads the balance and says whether it is low. Needs .NET and no package.
using System;
using System.Globalization;
using System.Net.Http;
using System.Runtime.Serialization;
using System.Runtime.Serialization.Json;
using System.Threading.Tasks;

[DataContract]
public class Envelope
{
    [DataMember] public string errorMessage;
    [DataMember] public string data;
}

public static class Program
{
    const decimal Threshold = 100m;
    static readonly HttpClient Client = new HttpClient { Timeout = TimeSpan.FromSeconds(30) };

    static async Task<decimal> ReadBalance()
    {
        var url = Environment.GetEnvironmentVariable("FAREBOX_URL") ?? "http://127.0.0.1:8000";
        using (var request = new HttpRequestMessage(HttpMethod.Get, url + "/api/balance"))
        {
            request.Headers.Add("x-api-key", Environment.GetEnvironmentVariable("FAREBOX_API_KEY"));
            using (var answer = await Client.SendAsync(request))
            {
                var body = await answer.Content.ReadAsStreamAsync();
                var envelope = (Envelope)new DataContractJsonSerializer(typeof(Envelope)).ReadObject(body);
                if (!answer.IsSuccessStatusCode)
                    throw new HttpRequestException($"Farebox answered {(int)answer.StatusCode}: {envelope.errorMessage}");
                // Without the invariant culture, "1250.75" is 125075 on a German machine, and 0 or an error on a French one.
                return decimal.Parse(envelope.data.Replace(",", ""), CultureInfo.InvariantCulture);
            }
        }
    }

    public static void Main()
    {
        var balance = ReadBalance().GetAwaiter().GetResult();
        Console.WriteLine(FormattableString.Invariant($"Balance: {balance}"));
        if (balance < Threshold)
            Console.WriteLine($"Below {Threshold}: top up.");
    }
}
