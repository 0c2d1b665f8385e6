// Package unifi reads a UniFi Network console: its automatic backups, and its
// settings as JSON. The interface is not a documented one; it is what the console's
// own pages use, and was taken from what they send: UniFi OS at /api/auth/login and
// below /proxy/network, older controllers at /api/login. Nothing is changed, not
// even a backup is made: making one takes minutes and a console makes its own.
//
// Fields whose names begin with x_ hold passwords and keys, but not they alone:
// secret.go has the names. They are left out.
package unifi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/tlspin"
	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

// Config is what a console is reached with.
type Config struct {
	Name         string
	URL          string
	Fingerprints []string // SHA-256 of certificates that are accepted: "AA:BB:…"
	User         string
	Password     []byte
	Site         string
	Dial         func(ctx context.Context, network, addr string) (net.Conn, error)
	Sleep        func(ctx context.Context, d time.Duration) error // for as long as the console asks to be left alone
}

// Error is an answer that is none.
type Error struct {
	Status int
	Doing  string
	Said   string
	Retry  time.Duration // of Retry-After; 0 without one
}

// SecondFactor is the status by which a console asks for one at a login.
const SecondFactor = 499

func (e *Error) Error() string { return fmt.Sprintf("%s: answered %d %s", e.Doing, e.Status, e.Said) }

// Client is a session with a console.
type Client struct {
	cfg    Config
	http   *http.Client
	prefix string // "/proxy/network" on UniFi OS
	csrf   string
}

const (
	answerTimeout = 2 * time.Minute // of headers
	maxAnswer     = 64 << 20
	tries         = 3           // of one request, as the console's Retry-After says
	longest       = time.Minute // that is waited for a console; what takes longer is for another run
)

// Open logs in. Errors: *tlspin.Error, *Error, those of the network.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	trust, err := tlspin.Config(cfg.Fingerprints)
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, http: &http.Client{Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: cfg.Dial, ResponseHeaderTimeout: answerTimeout, TLSHandshakeTimeout: 30 * time.Second,
			TLSClientConfig: trust}}}
	body, err := json.Marshal(map[string]string{"username": cfg.User, "password": string(cfg.Password)})
	if err != nil {
		return nil, err
	}
	defer clear(body)
	_, err = c.do(ctx, http.MethodPost, "/api/auth/login", body, "log in")
	var none *Error
	if errors.As(err, &none) && none.Status == http.StatusNotFound {
		if _, err = c.do(ctx, http.MethodPost, "/api/login", body, "log in"); err != nil {
			return nil, err
		}
		return c, nil
	}
	c.prefix = "/proxy/network"
	if err != nil {
		return nil, err
	}
	return c, nil
}

// do sends a request and reads its whole answer.
func (c *Client) do(ctx context.Context, method, p string, body []byte, doing string) ([]byte, error) {
	resp, err := c.patient(ctx, method, p, body, doing)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(out) > maxAnswer {
		err = fmt.Errorf("%s: the answer has more than %d bytes", doing, maxAnswer)
	}
	return out, err
}

func (c *Client) send(ctx context.Context, method, p string, body []byte, doing string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.cfg.URL+p, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.csrf != "" {
		req.Header.Set("X-CSRF-Token", c.csrf)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if t := resp.Header.Get("X-CSRF-Token"); t != "" {
		c.csrf = t
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		text = nil // the status tells enough
	}
	e := &Error{Status: resp.StatusCode, Doing: doing, Said: said(text)}
	if n, err := strconv.Atoi(strings.TrimSpace(resp.Header.Get("Retry-After"))); err == nil && n > 0 {
		e.Retry = time.Duration(min(n, 24*3600)) * time.Second
	}
	return nil, e
}

// patient sends a request again where the console says when to come again, soon
// enough to wait for it.
func (c *Client) patient(ctx context.Context, method, p string, body []byte, doing string) (*http.Response, error) {
	for try := 1; ; try++ {
		resp, err := c.send(ctx, method, p, body, doing)
		var none *Error
		if try == tries || !errors.As(err, &none) || none.Status != http.StatusTooManyRequests || none.Retry == 0 || none.Retry > longest {
			return resp, err
		}
		if err := c.cfg.Sleep(ctx, none.Retry); err != nil {
			return nil, err
		}
	}
}

// said is what an error answer says, in one printable line.
func said(body []byte) string {
	var m struct {
		Message string
		Meta    struct{ Msg string }
	}
	if json.Unmarshal(body, &m) == nil && m.Message+m.Meta.Msg != "" {
		return strings.Map(printable, m.Message+m.Meta.Msg)
	}
	return ""
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '?'
	}
	return r
}

// list is the data of an answer.
func (c *Client) list(ctx context.Context, method, p string, body []byte, doing string) ([]json.RawMessage, error) {
	raw, err := c.do(ctx, method, c.prefix+p, body, doing)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Meta struct{ RC, Msg string }
		Data []json.RawMessage
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, fmt.Errorf("%s: the answer is no JSON: %w", doing, err)
	}
	if answer.Meta.RC != "ok" {
		return nil, &Error{Status: http.StatusOK, Doing: doing, Said: strings.Map(printable, answer.Meta.RC+" "+answer.Meta.Msg)}
	}
	return answer.Data, nil
}

func (c *Client) site() string { return "/api/s/" + url.PathEscape(c.cfg.Site) }

// Backup is an automatic backup of the console.
type Backup struct {
	Filename string
	Size     int64
	Time     time.Time
	Version  string
}

// Newest returns the newest automatic backup; false when there is none.
func (c *Client) Newest(ctx context.Context) (Backup, bool, error) {
	list, err := c.list(ctx, http.MethodPost, c.site()+"/cmd/backup", []byte(`{"cmd":"list-backups"}`), "list backups")
	if err != nil {
		return Backup{}, false, err
	}
	var best Backup
	for _, raw := range list {
		var b struct {
			Filename string `json:"filename"`
			Size     int64  `json:"size"`
			Millis   int64  `json:"time"`
			Datetime string `json:"datetime"`
			Version  string `json:"version"`
		}
		if err := json.Unmarshal(raw, &b); err != nil {
			return Backup{}, false, fmt.Errorf("list backups: %w", err)
		}
		at, err := time.Parse(time.RFC3339, b.Datetime)
		if b.Millis > 0 {
			at, err = time.UnixMilli(b.Millis), nil
		}
		if err != nil || b.Filename != path.Base(b.Filename) || b.Filename == "." ||
			strings.ContainsFunc(b.Filename, func(r rune) bool { return printable(r) != r }) {
			return Backup{}, false, fmt.Errorf("list backups: %q of %q is not a backup", b.Filename, b.Datetime)
		}
		if at.After(best.Time) {
			best = Backup{b.Filename, b.Size, at.UTC(), b.Version}
		}
	}
	return best, best.Filename != "", nil
}

// Download copies a backup to w and returns its size.
func (c *Client) Download(ctx context.Context, b Backup, w io.Writer) (int64, error) {
	resp, err := c.patient(ctx, http.MethodGet, c.prefix+"/dl/autobackup/"+url.PathEscape(b.Filename), nil, "download "+b.Filename)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return io.Copy(w, resp.Body)
}

// parts are the lists that describe filters, routes and networks.
func parts() []string {
	return []string{"setting", "firewallrule", "firewallgroup", "networkconf", "routing", "portforward", "portconf", "wlanconf",
		"trafficrule", "trafficroute", "dynamicdns", "dhcpoption"}
}

// Settings reads what the console filters and routes by. Lists that this version
// does not know are left out; those that the account may not read are Missing.
func (c *Client) Settings(ctx context.Context) (*ruleset.Document, error) {
	d := &ruleset.Document{System: c.cfg.Name, Vendor: "unifi"}
	gone := map[string]bool{}
	for _, p := range parts() {
		list, err := c.list(ctx, http.MethodGet, c.site()+"/rest/"+p, nil, "read "+p)
		var none *Error
		switch {
		case errors.As(err, &none) && (none.Status == http.StatusNotFound || none.Status == http.StatusOK &&
			strings.Contains(none.Said, "NotFound")):
			continue
		case errors.As(err, &none) && (none.Status == http.StatusForbidden || none.Status == http.StatusOK):
			d.Miss(p, none.Error())
			continue
		case err != nil:
			return nil, err
		}
		for i, raw := range list {
			clean, fields, err := ruleset.Redact(raw, secretField)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", p, err)
			}
			for _, f := range fields {
				gone[p+" "+f] = true
			}
			list[i] = clean
		}
		if err := ruleset.Add(d, p, false, list); err != nil {
			return nil, err
		}
	}
	if len(gone) > 0 {
		d.Miss("passwords and keys", "not exported: "+strings.Join(slices.Sorted(maps.Keys(gone)), ", ")+"; they are in the console's own backup")
	}
	return d, nil
}
