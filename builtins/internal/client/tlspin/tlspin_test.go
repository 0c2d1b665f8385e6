package tlspin_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/client/tlspin"
)

func TestOnlyAPinnedCertificateIsAccepted(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	own := tlspin.Fingerprint(srv.Certificate().Raw)
	other := strings.Repeat("AB:", 31) + "AB"
	for _, c := range []struct {
		name   string
		pins   []string
		config bool // the configuration itself is good
		ok     bool
	}{
		{"own", []string{own}, true, true},
		{"lower case, no colons", []string{strings.ToLower(strings.ReplaceAll(own, ":", ""))}, true, true},
		{"one of two", []string{other, own}, true, true},
		{"another", []string{other}, true, false},
		{"none", nil, true, false},
		{"half of it", []string{own[:47]}, false, false},
		{"no hex", []string{strings.Replace(other, "AB", "XY", 1)}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := tlspin.Config(c.pins)
			if (err == nil) != c.config {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}
			defer client.CloseIdleConnections()
			resp, err := client.Get(srv.URL)
			if err == nil {
				resp.Body.Close()
			}
			var pin *tlspin.Error
			if c.ok != (err == nil) || !c.ok && (!errors.As(err, &pin) || pin.Seen != own) {
				t.Errorf("got %v", err)
			}
		})
	}
}
