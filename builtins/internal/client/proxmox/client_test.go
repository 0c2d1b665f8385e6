package proxmox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/client/tlspin"
)

// node is a server that answers as a handler says.
func node(t *testing.T, h http.HandlerFunc) (*httptest.Server, string) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	return s, tlspin.Fingerprint(s.Certificate().Raw)
}

func client(t *testing.T, pin string, urls ...string) *Client {
	t.Helper()
	c, err := New(Config{Name: "pve", URLs: urls, Fingerprints: []string{pin}, TokenID: "u@pve!t", Token: []byte("s")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// raw answers with a status line of one's own, as pveproxy does.
func raw(t *testing.T, answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close() // which ends the body
		if _, err := fmt.Fprint(conn, answer); err != nil {
			t.Error(err)
		}
	}
}

func TestAnswersAreStrict(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		status       int
		words        string
		down, lost   bool
	}{
		{"a node that is down: no body", "HTTP/1.1 595 No route to host\r\nContent-Length: 0\r\n\r\n", 595, "No route to host (595)", true,
			false},
		{"a proxy that gave up: no body", "HTTP/1.1 596 Connection timed out\r\nContent-Length: 0\r\n\r\n", 596, "Connection timed out (596)",
			true, true},
		{"a wrong token: no body", "HTTP/1.1 401 Authentication failed!\r\nContent-Length: 0\r\n\r\n", 401, "Authentication failed! (401)",
			false, false},
		{"a privilege that is missing", "HTTP/1.1 403 Permission check failed (/vms/100, VM.Backup)\r\n\r\n{\"data\":null}", 403,
			"(/vms/100, VM.Backup) (403)", false, false},
		{"a refusal with a message", "HTTP/1.1 500 x\r\n\r\n{\"data\":null,\"message\":\"no such storage\"}", 500, "no such storage (500)",
			false, false},
		{"a refusal about a parameter", "HTTP/1.1 400 Parameter verification failed.\r\n\r\n{\"data\":null,\"errors\":{\"vmid\":\"is bad\\n\"}}",
			400, "vmid: is bad (400)", false, false},
		{"a body that is no JSON", "HTTP/1.1 502 Bad Gateway\r\n\r\n<html>", 502, "Bad Gateway (502)", true, false},
		{"a redirection", "HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\nContent-Length: 0\r\n\r\n", 302, "Found (302)", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, pin := node(t, raw(t, c.answer))
			var v any
			err := client(t, pin, s.URL).Get(t.Context(), "/version", &v)
			var e *Error
			if !errors.As(err, &e) || e.Status != c.status || !strings.Contains(e.Error(), c.words) {
				t.Fatalf("got %v", err)
			}
			if down, _ := e.Unreachable(); down != c.down || Lost(err) != c.lost {
				t.Errorf("unreachable: got %v, lost %v; want %v, %v", down, Lost(err), c.down, c.lost)
			}
		})
	}
}

func TestOnlyPinnedCertificatesAreTalkedTo(t *testing.T) {
	asked := 0
	s, pin := node(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		if got := r.Header.Get("Authorization"); got != "PVEAPIToken=u@pve!t=s" {
			t.Errorf("authorization: got %q", got)
		}
		fmt.Fprint(w, `{"data":{"version":"9.2.11"}}`)
	})
	other := strings.Repeat("00:", 31) + "00"
	_, err := client(t, other, s.URL).Version(t.Context())
	var p *tlspin.Error
	if !errors.As(err, &p) || p.Seen != pin || asked != 0 || Lost(err) {
		t.Errorf("another certificate: got %v, asked %d times", err, asked)
	}
	if v, err := client(t, strings.ToLower(pin), s.URL).Version(t.Context()); err != nil || v != "9.2.11" {
		t.Errorf("the pinned one: got %q, %v", v, err)
	}
	for _, bad := range []string{"", "AA:BB", "zz", strings.Repeat("00", 33)} {
		if _, err := New(Config{Name: "pve", Fingerprints: []string{bad}}); err == nil ||
			!strings.Contains(err.Error(), "not a SHA-256 fingerprint") {
			t.Errorf("fingerprint %q: got %v", bad, err)
		}
	}
}

func TestAnotherNodeIsAskedOnlyWhenNothingCanHaveHappened(t *testing.T) {
	posts := map[string]int{}
	cut, pin := node(t, func(w http.ResponseWriter, _ *http.Request) {
		posts["first"]++
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	})
	second, _ := node(t, func(w http.ResponseWriter, _ *http.Request) {
		posts["second"]++
		fmt.Fprint(w, `{"data":"UPID:pve1:000003E9:00000001:6B03E390:vzdump:100:u@pve!t:"}`)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "https://" + l.Addr().String()
	l.Close()
	g := Guest{VMID: 100, Node: "pve1", Type: "qemu"}
	if _, err := client(t, pin, cut.URL, second.URL).Backup(t.Context(), g, BackupOptions{}); !Lost(err) || posts["second"] != 0 {
		t.Errorf("after a POST that broke off: got %v, %v", err, posts)
	}
	if u, err := client(t, pin, closed, second.URL).Backup(t.Context(), g, BackupOptions{}); err != nil || u.Node() != "pve1" {
		t.Errorf("after a host that cannot be dialled: got %q, %v", u, err)
	}
	_, err = client(t, pin, closed).Backup(t.Context(), g, BackupOptions{})
	if err == nil || Lost(err) {
		t.Errorf("nothing was ever sent: got %v", err)
	}
}

func TestAnAnswerWithoutATaskIsNone(t *testing.T) {
	for _, answer := range []string{`"OK"`, `""`, `"UPID:pve1:x"`, `"UPID:../:00000001:00000001:00000001:vzdump:1:u:"`} {
		s, pin := node(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"data":%s}`, answer) })
		_, err := client(t, pin, s.URL).Backup(t.Context(), Guest{VMID: 1, Node: "pve1"}, BackupOptions{})
		if !errors.As(err, new(*NoTaskError)) {
			t.Errorf("%s: got %v", answer, err)
		}
	}
}

func TestLost(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false}, {context.Canceled, false}, {errors.New("unexpected EOF"), true}, {&Error{Status: 595}, false}, {&Error{Status: 596}, true},
		{&Error{Status: 504}, true},
		{&Error{Status: 500}, false}, {&tlspin.Error{}, false}, {&net.OpError{Op: "dial", Err: errors.New("refused")}, false},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, true},
	} {
		if got := Lost(c.err); got != c.want {
			t.Errorf("%v: got %v", c.err, got)
		}
	}
}

func TestCarriesTakesWholeTokens(t *testing.T) {
	for _, c := range []struct {
		text string
		want bool
	}{
		{"runner:r/1", true}, {"erp\nrunner:r/1\n", true}, {"vzdump 100 --notes-template 'runner:r/1' --remove 0", true}, {"runner:r/10", false},
		{"runner:r/1/2", false},
		{"xrunner:r/1", false}, {"", false},
	} {
		if got := Carries(c.text, "runner:r/1"); got != c.want {
			t.Errorf("%q: got %v", c.text, got)
		}
	}
	if Carries("anything", "") {
		t.Error("an empty token is nobody's")
	}
}
