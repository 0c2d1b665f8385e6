package proxmox

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	pve "github.com/luthermonson/go-proxmox"
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
	pins := map[string]bool{}
	for _, f := range cfg.Fingerprints {
		raw, err := hex.DecodeString(strings.ReplaceAll(f, ":", ""))
		if err != nil || len(raw) != sha256.Size {
			return nil, fmt.Errorf("fingerprint %q of %s is no SHA-256", f, cfg.Name)
		}
		pins[string(raw)] = true
	}
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	transport := &http.Transport{
		DialContext: dial,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			InsecureSkipVerify: true, // the pin below is the check; it also runs on resumed sessions
			VerifyConnection: func(cs tls.ConnectionState) error {
				sum := sha256.Sum256(cs.PeerCertificates[0].Raw)
				if pins[string(sum[:])] {
					return nil
				}
				return &PinError{Seen: fingerprint(sum[:])}
			},
		},
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
	sum := sha256.Sum256(der)
	for _, f := range fingerprints {
		if strings.EqualFold(f, fingerprint(sum[:])) {
			return true
		}
	}
	return false
}

func fingerprint(sum []byte) string {
	var parts []string
	for _, b := range sum {
		parts = append(parts, fmt.Sprintf("%02X", b))
	}
	return strings.Join(parts, ":")
}

// PinError says that a certificate is none of those that the site accepts.
type PinError struct{ Seen string }

func (e *PinError) Error() string {
	return "the certificate is not one that the site accepts; its fingerprint is " + e.Seen
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
		var pin *PinError
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
	var pin *PinError
	var dial *net.OpError
	if errors.As(err, &pin) || errors.As(err, &dial) && dial.Op == "dial" {
		return false
	}
	return err != nil && !errors.Is(err, context.Canceled)
}
