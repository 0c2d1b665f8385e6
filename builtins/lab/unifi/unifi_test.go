package unifi

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab/fault"
)

// visitor talks to a console over the wire.
type visitor struct {
	t            *testing.T
	c            *Console
	base         string
	cookie, csrf string
}

func visit(t *testing.T) *visitor {
	t.Helper()
	dir := t.TempDir()
	faults, err := fault.Open(filepath.Join(dir, "faults.json"))
	if err != nil {
		t.Fatal(err)
	}
	c := &Console{Dir: filepath.Join(dir, "console"), User: "reader", Password: "right", Faults: faults}
	if err := Create(c.Dir, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- c.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &visitor{t: t, c: c, base: "http://" + l.Addr().String()}
}

type reply struct {
	status int
	body   string
	header http.Header
	err    error
}

func (v *visitor) ask(ctx context.Context, method, path, body string) reply {
	v.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, v.base+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Close = true // nothing is sent twice behind the test's back
	if v.cookie != "" {
		req.AddCookie(&http.Cookie{Name: "TOKEN", Value: v.cookie})
	}
	req.Header.Set("X-CSRF-Token", v.csrf)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if path == "/api/auth/login" && resp.StatusCode == 200 {
		v.csrf = resp.Header.Get("X-CSRF-Token")
		for _, c := range resp.Cookies() {
			v.cookie = c.Value
		}
	}
	return reply{resp.StatusCode, string(raw), resp.Header, err}
}

const (
	right  = `{"username":"reader","password":"right"}`
	list   = `{"cmd":"list-backups"}`
	backup = "/proxy/network/api/s/default/cmd/backup"
	rules  = "/proxy/network/api/s/default/rest/firewallrule"
	files  = "/proxy/network/dl/autobackup/"
)

func TestTheConsoleAnswersOnlyWhoLoggedIn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		login        string
		cookie, csrf string // in place of those of the login
		method, path string
		body         string
		status       int
		says         string
	}{
		{"a wrong password", `{"username":"reader","password":"wrong"}`, "", "", "GET", rules, "", 401, "Unauthorized"},
		{"no password", `{`, "", "", "GET", rules, "", 401, "Unauthorized"},
		{"no session", "", "", "", "GET", rules, "", 401, "Unauthorized"},
		{"a session of nobody", right, "0123", "", "GET", rules, "", 401, "Unauthorized"},
		{"a read", right, "", "", "GET", rules, "", 200, "guests to office"},
		{"a read needs no CSRF token", right, "", "none", "GET", rules, "", 200, "guests to office"},
		{"a post needs it", right, "", "none", "POST", backup, list, 401, "Unauthorized"},
		{"a post with it", right, "", "", "POST", backup, list, 200, `"controller_name":"gateway"`},
		{"a command that changes something", right, "", "", "POST", backup, `{"cmd":"backup"}`, 400, "api.err.InvalidPayload"},
		{"an unknown list", right, "", "", "GET", "/proxy/network/api/s/default/rest/nothing", "", 404, "api.err.NotFound"},
		{"outside the network", right, "", "", "GET", "/api/users", "", 404, "Not Found"},
		{"a file that is no backup", right, "", "", "GET", files + "settings.json", "", 404, "Not Found"},
		{"a way out of the folder", right, "", "", "GET", files + "..%2f..%2ffaults.json", "", 404, "Not Found"},
		{"a backup that is not there", right, "", "", "GET", files + "autobackup_1.unf", "", 404, "Not Found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := visit(t)
			if c.login != "" {
				if r := v.ask(t.Context(), "POST", "/api/auth/login", c.login); (r.status == 200) != (c.login == right) {
					t.Fatalf("the login was answered %d %s", r.status, r.body)
				}
			}
			if c.cookie != "" {
				v.cookie = c.cookie
			}
			if c.csrf != "" {
				v.csrf = c.csrf
			}
			if r := v.ask(t.Context(), c.method, c.path, c.body); r.status != c.status || !strings.Contains(r.body, c.says) {
				t.Errorf("got %d %s, want %d with %q", r.status, r.body, c.status, c.says)
			}
		})
	}
}

// newest logs in and returns the file name and size of the newest backup.
func (v *visitor) newest() (string, int64) {
	v.t.Helper()
	v.ask(v.t.Context(), "POST", "/api/auth/login", right)
	r := v.ask(v.t.Context(), "POST", backup, list)
	var in struct {
		Data []struct {
			Filename string
			Size     int64
			Time     int64
		}
	}
	if err := json.Unmarshal([]byte(r.body), &in); err != nil || len(in.Data) != 2 || in.Data[0].Time <= in.Data[1].Time {
		v.t.Fatalf("got %d %s: %v", r.status, r.body, err)
	}
	return in.Data[0].Filename, in.Data[0].Size
}

func TestABackupHasTheSizeThatIsListed(t *testing.T) {
	t.Parallel()
	v := visit(t)
	name, size := v.newest()
	if r := v.ask(t.Context(), "GET", files+name, ""); r.status != 200 || int64(len(r.body)) != size || size%16 != 0 {
		t.Errorf("got %d with %d bytes, want %d in whole blocks", r.status, len(r.body), size)
	}
}

func TestFaultsOfTheConsole(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, do string
		check    func(r reply) bool
	}{
		{"an answer", "answer 503 busy", func(r reply) bool { return r.status == 503 && strings.Contains(r.body, "busy") }},
		{"a limit", "limit 30", func(r reply) bool { return r.status == 429 && r.header.Get("Retry-After") == "30" }},
		{"a cut", "cut", func(r reply) bool { return r.err != nil }},
		{"a part", "truncate 100", func(r reply) bool { return r.status == 200 && len(r.body) == 100 }},
		{"nothing of it", "truncate", func(r reply) bool { return r.status == 200 && r.body == "" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := visit(t)
			name, size := v.newest()
			if err := v.c.Faults.Replace([]fault.Fault{{On: "unifi GET " + files + "*", Do: c.do, Times: 1}}); err != nil {
				t.Fatal(err)
			}
			if r := v.ask(t.Context(), "GET", rules, ""); r.status != 200 {
				t.Errorf("another place got %d", r.status)
			}
			if r := v.ask(t.Context(), "GET", files+name, ""); !c.check(r) {
				t.Errorf("got %d %q, %v", r.status, r.body, r.err)
			}
			if r := v.ask(t.Context(), "GET", files+name, ""); r.status != 200 || int64(len(r.body)) != size {
				t.Errorf("after it: got %d with %d bytes, %v", r.status, len(r.body), r.err)
			}
		})
	}
}
