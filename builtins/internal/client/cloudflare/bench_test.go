package cloudflare

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/tests/gauge"
)

// What a zone costs beside the plainest program that could fetch its records: the
// same pages by net/http, kept as json.RawMessage. Ours also fetches and parses the
// BIND text, holds both forms against each other, sorts keys and records, and reads
// the zone's settings. The server runs in a process of its own; CPU is this one's.
func TestBenchZone(t *testing.T) {
	m := gauge.Begin(t)
	n := 1000
	if m == gauge.Full {
		n = 10_000
	}
	addr := gauge.StartServer(t, "TestServerOfTheBenchmark", n)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	token := string(lab.Secrets()["cloudflare-token"])
	measure := func(what string, fn func() int) gauge.Cost {
		return gauge.Self(t, func() {
			if got := fn(); got != n {
				t.Fatalf("%s: got %d records, want %d", what, got, n)
			}
		})
	}
	var ours, bare []gauge.Cost
	for range m.Rounds(t) {
		bare = append(bare, measure("bare", func() int { return bareRecords(t, dial, token) }))
		ours = append(ours, measure("ours", func() int {
			c, err := New(Config{URL: "https://api.cloudflare.lab/client/v4", Token: token, Fingerprints: []string{lab.CloudflareFingerprint()},
				Dial: dial})
			if err != nil {
				t.Fatal(err)
			}
			defer c.http.CloseIdleConnections()
			now := time.Now()
			x, err := c.On(Clock{Now: func() time.Time { return now },
				Sleep: func(context.Context, time.Duration) error { return nil }}).Zone(t.Context(), "example.org", "")
			if err != nil || x.BIND == nil {
				t.Fatal(err, x.Missing)
			}
			return len(x.Records)
		}))
	}
	var table gauge.Table
	table.Ratio(t, m, fmt.Sprintf("export of a zone with %d records", n), ours, bare, 1.5)
	table.Print(t)
}

// bareRecords fetches all pages of the records.
func bareRecords(t *testing.T, dial func(context.Context, string, string) (net.Conn, error), token string) int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	var all []json.RawMessage
	for page := 1; ; page++ {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			fmt.Sprintf("https://api.cloudflare.lab/client/v4/zones/%s/dns_records?page=%d&per_page=%d", zoneID, page, barePage), nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer "+token)
		a, err := client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		var p struct {
			Result []json.RawMessage `json:"result"`
			Info   struct {
				Pages int `json:"total_pages"`
			} `json:"result_info"`
		}
		err = json.NewDecoder(a.Body).Decode(&p)
		a.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, p.Result...); page >= p.Info.Pages {
			return len(all)
		}
	}
}

// barePage is what the API gives without being asked for more.
const barePage = 100

// TestServerOfTheBenchmark is the lab's Cloudflare, with so many records.
func TestServerOfTheBenchmark(t *testing.T) {
	dir, n := gauge.ServerAsked(t)
	w, err := lab.Open(t.Context(), dir+"/world")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Cloudflare().SetRecords(n); err != nil {
		t.Fatal(err)
	}
	addrs, err := w.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gauge.Serving(t, addrs[lab.CloudflareAddr])
}
