package lab_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/lab"
)

func TestCloudflareIsServedOverTLS(t *testing.T) {
	t.Parallel()
	w := open(t, t.TempDir())
	var seen [][]byte
	client := &http.Client{Transport: &http.Transport{DialContext: w.Dial, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true,
			VerifyConnection: func(cs tls.ConnectionState) error {
				seen = append(seen, cs.PeerCertificates[0].Raw)
				return cs.PeerCertificates[0].VerifyHostname("api.cloudflare.lab")
			}}}}
	get := func() string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.cloudflare.lab/client/v4/zones?name=example.org", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+string(lab.Secrets()["cloudflare-token"]))
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if text := get(); !strings.Contains(text, `"name":"example.org"`) {
		t.Errorf("got %s", text)
	}
	if err := w.Inject(lab.Fault{On: "tls api.cloudflare.lab", Do: "new-cert"}); err != nil {
		t.Fatal(err)
	}
	get()
	if len(seen) != 2 || string(seen[0]) == string(seen[1]) {
		t.Errorf("got %d certificates, want two that differ", len(seen))
	}
	if f := lab.CloudflareFingerprint(); len(f) != 95 || f == lab.Fingerprint() {
		t.Errorf("got fingerprint %s", f)
	}
}

func TestCloudflareKeepsItsState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := open(t, dir)
	if err := w.Cloudflare().SetRecords(7); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got := 0
	again := open(t, dir)
	if err := again.Cloudflare().Edit("zones/9e107d9d372bb6826bd81d3542a419d6/dns_records", func(list []map[string]any) []map[string]any {
		got = len(list)
		return list
	}); err != nil || got != 7 {
		t.Errorf("got %d records, %v", got, err)
	}
}
