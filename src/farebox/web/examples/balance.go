// Reads the balance and says whether it is low. Needs Go and no module.
package main

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"strings"
	"time"
)

const threshold = "100"

type envelope struct {
	ErrorMessage string `json:"errorMessage"`
	Data         string `json:"data"`
}

func readBalance(url, key string) (string, error) {
	client := http.Client{Timeout: 30 * time.Second}
	request, err := http.NewRequest(http.MethodGet, url+"/api/balance", nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("x-api-key", key)
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var told envelope
	err = json.NewDecoder(answer.Body).Decode(&told)
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return "", fmt.Errorf("Farebox answered %d: %s", answer.StatusCode, told.ErrorMessage)
	}
	return strings.ReplaceAll(told.Data, ",", ""), err
}

// A float64 would round: a Rat is exact.
func amount(text string) (*big.Rat, error) {
	parsed, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, fmt.Errorf("%q is no amount", text)
	}
	return parsed, nil
}

func isLow(balance string) (bool, error) {
	have, err := amount(balance)
	if err != nil {
		return false, err
	}
	least, err := amount(threshold)
	return err == nil && have.Cmp(least) < 0, err
}

func main() {
	url := os.Getenv("FAREBOX_URL")
	if url == "" {
		url = "http://127.0.0.1:8000"
	}
	balance, err := readBalance(url, os.Getenv("FAREBOX_API_KEY"))
	low := false
	if err == nil {
		low, err = isLow(balance)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("Balance:", balance)
	if low {
		fmt.Printf("Below %s: top up.\n", threshold)
	}
}
