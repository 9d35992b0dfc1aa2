// Charges a merchant for one request that was served: Charge REQUEST. Needs .NET and no package.
using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Runtime.Serialization;
using System.Runtime.Serialization.Json;
using System.Threading.Tasks;

[DataContract]
public class Charge
{
    [DataMember] public string merchant;
    [DataMember] public string type;
    [DataMember] public int quantity;
    [DataMember] public string idempotencyKey;
}

[DataContract]
public class Charged
{
    [DataMember] public string cost;
    [DataMember] public string available;
}

[DataContract]
public class Envelope
{
    [DataMember] public string errorMessage;
    [DataMember] public Charged data;
}

public class NotCharged : Exception
{
    public NotCharged(string message) : base(message) { }
}

public static class Program
{
    const int Attempts = 6;
    // 0 stands for no whole answer. Each may have been charged or not, so each is asked again, under the same key.
    static readonly int[] Again = { 0, 408, 429, 500, 502, 503, 504 };
    static readonly HttpClient Client = new HttpClient { Timeout = TimeSpan.FromSeconds(10) };
    static readonly Random Random = new Random();

    // Without the invariant culture, "1250.75" is read as 125075 on a German machine, and as nothing on a French one.
    static decimal Amount(string text) => decimal.Parse(text, CultureInfo.InvariantCulture);

    static async Task<Charged> Send(Charge charge)
    {
        var url = Environment.GetEnvironmentVariable("FAREBOX_URL") ?? "http://127.0.0.1:8000";
        var body = new MemoryStream();
        new DataContractJsonSerializer(typeof(Charge)).WriteObject(body, charge);
        for (var attempt = 1; ; attempt++)
        {
            var status = 0;
            var envelope = new Envelope();
            var wait = TimeSpan.Zero;
            try
            {
                using (var request = new HttpRequestMessage(HttpMethod.Post, url + "/api/charges"))
                {
                    request.Headers.Add("x-api-key", Environment.GetEnvironmentVariable("FAREBOX_API_KEY"));
                    request.Content = new ByteArrayContent(body.ToArray());
                    request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
                    using (var answer = await Client.SendAsync(request))
                    {
                        var content = await answer.Content.ReadAsStreamAsync();
                        envelope = (Envelope)new DataContractJsonSerializer(typeof(Envelope)).ReadObject(content);
                        wait = answer.Headers.RetryAfter?.Delta ?? TimeSpan.Zero;
                        status = (int)answer.StatusCode;
                    }
                }
            }
            catch (Exception error) when (error is HttpRequestException || error is OperationCanceledException
                || error is IOException || error is SerializationException)
            {
                envelope.errorMessage = error.Message;
            }
            if (status >= 200 && status <= 299)
                return envelope.data;
            if (status == 402)
                throw new NotCharged(envelope.errorMessage);
            if (!Again.Contains(status) || attempt == Attempts)
                throw new HttpRequestException($"Farebox answered {status}: {envelope.errorMessage}");
            var backoff = TimeSpan.FromSeconds(Random.NextDouble() * 0.2 * Math.Pow(2, attempt));
            await Task.Delay(wait > backoff ? wait : backoff);
        }
    }

    public static int Main(string[] arguments)
    {
        var merchant = Environment.GetEnvironmentVariable("FAREBOX_MERCHANT");
        // The id of your request is the idempotency key: however often it is sent, the request is charged once.
        var charge = new Charge { merchant = merchant, type = "image", quantity = 1, idempotencyKey = arguments[0] };
        try
        {
            var charged = Send(charge).GetAwaiter().GetResult();
            Console.WriteLine(
                FormattableString.Invariant($"Charged {Amount(charged.cost)}, {Amount(charged.available)} left."));
            return 0;
        }
        catch (NotCharged refusal)
        {
            Console.WriteLine("Not charged: " + refusal.Message);
            return 3;
        }
    }
}
