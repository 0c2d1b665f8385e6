package proxmox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	pve "github.com/luthermonson/go-proxmox"
	"github.com/neosofia/runner/builtins/internal/client/tlspin"
)

// Config is what a Client is made with.
type Config struct {
	Name         string   // of the system in the site, for errors
	URLs         []string // https://host:8006, tried in order
	Fingerprints []string // accepted SHA-256 of certificates: "AA:BB:…"
	TokenID      string
	Token        []byte
	Dial         func(ctx context.Context, network, addr string) (net.Conn, error) // nil: net.Dialer
}

// Client is a connection to a cluster. It may be used concurrently.
type Client struct {
	name  string
	hosts []*pve.Client
}

// New returns a client; nothing is dialled yet.
func New(cfg Config) (*Client, error) {
	trust, err := tlspin.Config(cfg.Fingerprints)
	if err != nil {
		return nil, fmt.Errorf("fingerprint of %s: %w", cfg.Name, err)
	}
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	transport := &http.Transport{
		DialContext:           dial,
		TLSClientConfig:       trust,
		IdleConnTimeout:       4 * time.Second, // pveproxy closes idle ones after 5
		TLSHandshakeTimeout:   20 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
		MaxIdleConnsPerHost:   exportAtOnce, // fewer would be dialled anew all the time
	}
	c := &Client{name: cfg.Name}
	for _, u := range cfg.URLs {
		c.hosts = append(c.hosts, pve.NewClient(strings.TrimSuffix(u, "/")+"/api2/json",
			pve.WithHTTPClient(&http.Client{Transport: &strict{transport}, Timeout: 3 * time.Minute}),
			pve.WithAPIToken(cfg.TokenID, string(cfg.Token)), pve.WithUserAgent("runner"), pve.WithLogger(silent{})))
	}
	return c, nil
}

// Accepts reports whether a certificate (DER) is one of those with these
// fingerprints.
func Accepts(fingerprints []string, der []byte) bool {
	seen := tlspin.Fingerprint(der)
	return slices.ContainsFunc(fingerprints, func(f string) bool { return strings.EqualFold(f, seen) })
}

// Error is an answer of status 300 and above.
type Error struct {
	Status  int
	Method  string
	Path    string
	Reason  string            // the status line's text: often the only one
	Message string            // of the body
	Errors  map[string]string // per parameter
	Token   string            // id of the token that asked
}

// lost reports that a node did not answer.
func (e *Error) lost() bool { down, _ := e.Unreachable(); return down }

// Bare reports a refusal that names no right. Proxmox makes one where any of several
// rights would do.
func (e *Error) Bare() bool { return e.Status == 403 && e.Message == "Permission check failed" }

func (e *Error) Error() string {
	text := e.Message
	if text == "" {
		text = e.Reason
	}
	for k, v := range e.Errors {
		text += fmt.Sprintf("; %s: %s", k, strings.TrimSpace(v))
	}
	return fmt.Sprintf("%s (%d)", text, e.Status)
}

// Unreachable reports that a node behind the proxy did not answer: the work may
// have begun all the same when began is true.
func (e *Error) Unreachable() (down, began bool) {
	return e.Status == 595 || e.Status == 596 || e.Status == 502 || e.Status == 504, e.Status == 596 || e.Status == 504
}

// maxAnswer bounds an answer: go-proxmox reads it whole. 500 guests are 200 KiB.
const maxAnswer = 64 << 20

// strict stands under go-proxmox.
type strict struct{ next http.RoundTripper }

func (t *strict) RoundTrip(q *http.Request) (*http.Response, error) {
	s, err := t.next.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	if s.StatusCode < 300 {
		s.Body = &struct {
			io.Reader
			io.Closer
		}{io.LimitReader(s.Body, maxAnswer), s.Body}
		return s, nil
	}
	defer s.Body.Close()
	body, err := io.ReadAll(io.LimitReader(s.Body, 64<<10))
	if err != nil {
		body = nil // the status line tells enough
	}
	e := &Error{Status: s.StatusCode, Method: q.Method, Path: strings.TrimPrefix(q.URL.Path, "/api2/json")}
	_, e.Reason, _ = strings.Cut(s.Status, " ")
	e.Token, _, _ = strings.Cut(strings.TrimPrefix(q.Header.Get("Authorization"), "PVEAPIToken="), "=")
	var parsed struct {
		Message string         `json:"message"`
		Errors  map[string]any `json:"errors"`
	}
	if json.Unmarshal(body, &parsed) == nil {
		e.Message = strings.TrimSpace(parsed.Message)
		e.Errors = map[string]string{}
		for k, v := range parsed.Errors {
			e.Errors[k] = fmt.Sprint(v)
		}
	}
	return nil, e
}

type silent struct{}

func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Infof(string, ...any)  {}
func (silent) Debugf(string, ...any) {}

// try asks the hosts in order; the next is asked only when a host could not be
// reached at all, or, for reads, when it broke off.
func (c *Client) try(read bool, fn func(h *pve.Client) error) error {
	var err error
	for _, h := range c.hosts {
		err = fn(h)
		var dial *net.OpError
		var pin *tlspin.Error
		switch {
		case err == nil, errors.As(err, &pin), errors.As(err, new(*Error)):
			return err
		case errors.As(err, &dial) && dial.Op == "dial":
		case !read:
			return err
		}
	}
	return err
}

// Get decodes the answer's data into v.
func (c *Client) Get(ctx context.Context, path string, v any) error {
	return c.try(true, func(h *pve.Client) error { return h.Get(ctx, path, v) })
}

// Post sends params and decodes the answer's data into v.
func (c *Client) Post(ctx context.Context, path string, params map[string]any, v any) error {
	return c.try(false, func(h *pve.Client) error { return h.Post(ctx, path, params, v) })
}

// Put sends params.
func (c *Client) Put(ctx context.Context, path string, params map[string]any, v any) error {
	return c.try(false, func(h *pve.Client) error { return h.Put(ctx, path, params, v) })
}

// Delete sends a request without a body; parameters are in the path's query.
func (c *Client) Delete(ctx context.Context, path string, v any) error {
	return c.try(false, func(h *pve.Client) error { return h.Delete(ctx, path, v) })
}

// Name is the system's name in the site.
func (c *Client) Name() string { return c.name }

// Lost reports that no answer came: whether the request had its effect is open.
func Lost(err error) bool {
	var api *Error
	if errors.As(err, &api) {
		_, began := api.Unreachable()
		return began
	}
	var pin *tlspin.Error
	var dial *net.OpError
	if errors.As(err, &pin) || errors.As(err, &dial) && dial.Op == "dial" {
		return false
	}
	return err != nil && !errors.Is(err, context.Canceled)
}
