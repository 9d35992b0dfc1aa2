// Charges a merchant for one request that was served: go run charge.go REQUEST. Needs Go and no module.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"time"
)

const attempts = 6

var (
	client        = http.Client{Timeout: 10 * time.Second}
	errNotCharged = errors.New("Not charged")
)

// Amounts are strings, which a float64 would round; math/big has a Rat for arithmetic.
type charged struct {
	Cost      string `json:"cost"`
	Available string `json:"available"`
}

type envelope struct {
	ErrorMessage string   `json:"errorMessage"`
	Data         *charged `json:"data"`
}

// send returns the status, 0 without a whole answer, and how long to wait before asking again.
func send(url, key string, body []byte) (status int, wait time.Duration, told envelope) {
	request, err := http.NewRequest(http.MethodPost, url+"/api/charges", bytes.NewReader(body))
	if err != nil {
		return 0, 0, envelope{ErrorMessage: err.Error()}
	}
	request.Header.Set("x-api-key", key)
	request.Header.Set("content-type", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		return 0, 0, envelope{ErrorMessage: err.Error()}
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&told); err != nil {
		return 0, 0, envelope{ErrorMessage: err.Error()}
	}
	seconds, _ := strconv.Atoi(answer.Header.Get("retry-after"))
	return answer.StatusCode, time.Duration(seconds) * time.Second, told
}

// charge returns what was charged. An amount that you send is a string, too.
func charge(url, key string, fields map[string]any) (*charged, error) {
	body, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		status, wait, told := send(url, key, body)
		switch {
		case status >= 200 && status <= 299 && told.Data != nil:
			return told.Data, nil
		case status == http.StatusPaymentRequired:
			return nil, fmt.Errorf("%w: %s", errNotCharged, told.ErrorMessage)
		}
		switch status {
		case 0, 408, 429, 500, 502, 503, 504:
			// Each may have been charged or not, so each is asked again, under the same key.
			if attempt < attempts {
				backoff := time.Duration(rand.Float64() * 0.2 * float64(int(1)<<attempt) * float64(time.Second))
				time.Sleep(max(wait, backoff))
				continue
			}
		}
		return nil, fmt.Errorf("Farebox answered %d: %s", status, told.ErrorMessage)
	}
}

func main() {
	url := os.Getenv("FAREBOX_URL")
	if url == "" {
		url = "http://127.0.0.1:8000"
	}
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "The id of the request that was served is missing.")
		os.Exit(1)
	}
	// The id of your request is the idempotency key: however often it is sent, the request is charged once.
	fields := map[string]any{
		"merchant": os.Getenv("FAREBOX_MERCHANT"), "type": "image", "quantity": 1, "idempotencyKey": os.Args[1],
	}
	done, err := charge(url, os.Getenv("FAREBOX_API_KEY"), fields)
	switch {
	case errors.Is(err, errNotCharged):
		fmt.Println(err)
		os.Exit(3)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("Charged %s, %s left.\n", done.Cost, done.Available)
}
