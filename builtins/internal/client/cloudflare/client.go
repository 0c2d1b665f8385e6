package cloudflare

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cloudflare/cloudflare-go/v7/option"
	"github.com/neosofia/runner/builtins/internal/client/tlspin"
)

// Config is what a Client is made with.
type Config struct {
	URL          string   // https://api.cloudflare.com/client/v4
	Token        string   // an API token
	Fingerprints []string // SHA-256 of accepted certificates ("AA:BB:…"); empty: the system's roots
	Dial         func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Client is an account's API. It may be used concurrently: its sessions share the
// limit of requests.
type Client struct {
	http *http.Client
	base *url.URL
	opts []option.RequestOption
	rate limiter
}

// Clock is the time of a run, by which a session waits.
type Clock struct {
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
	Log   func(format string, args ...any) // tells the operator why it waits; may be nil
}

// Session is a Client on one clock.
type Session struct {
	c     *Client
	clock Clock
}

// New returns a client; nothing is dialled yet.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(strings.TrimSuffix(cfg.URL, "/") + "/")
	if err != nil || base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("url %q: want https://host/path", cfg.URL)
	}
	if cfg.Token == "" || strings.ContainsAny(cfg.Token, " \t\r\n") {
		return nil, errors.New("the token is empty, or holds a space or a line end")
	}
	tlsConfig, err := trust(cfg.Fingerprints)
	if err != nil {
		return nil, err
	}
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	c := &Client{base: base, rate: limiter{tokens: burst}}
	c.http = &http.Client{
		Transport: &strict{token: cfg.Token, rate: &c.rate, next: &http.Transport{DialContext: dial, TLSClientConfig: tlsConfig,
			IdleConnTimeout:     30 * time.Second,
			TLSHandshakeTimeout: 20 * time.Second, ResponseHeaderTimeout: time.Minute, MaxIdleConnsPerHost: 4, ForceAttemptHTTP2: true}},
		Timeout:       5 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.opts = []option.RequestOption{option.WithBaseURL(base.String()), option.WithHTTPClient(c.http), option.WithMaxRetries(0),
		option.WithHeader("User-Agent", "runner")}
	return c, nil
}

// On returns the client on a clock.
func (c *Client) On(clock Clock) *Session {
	if clock.Log == nil {
		clock.Log = func(string, ...any) {}
	}
	return &Session{c, clock}
}

// trust is the system's roots, or certificates by their fingerprints.
func trust(fingerprints []string) (*tls.Config, error) {
	if len(fingerprints) == 0 {
		return &tls.Config{MinVersion: tls.VersionTLS12}, nil
	}
	return tlspin.Config(fingerprints)
}

// maxAnswer bounds one answer: a page of 1000 records is about 500 KiB, the BIND
// text of a large zone some MiB.
const maxAnswer = 64 << 20

// strict stands under the library.
type strict struct {
	token string
	rate  *limiter
	next  http.RoundTripper
}

func (t *strict) RoundTrip(q *http.Request) (*http.Response, error) {
	q = q.Clone(q.Context())
	q.Header.Set("Authorization", "Bearer "+t.token)
	s, err := t.next.RoundTrip(q)
	if err != nil {
		return nil, unreachable(q, err)
	}
	t.rate.learn(s.Header.Get("Ratelimit"))
	if s.StatusCode < 300 {
		s.Body = &bounded{s.Body, maxAnswer, q}
		return s, nil
	}
	defer s.Body.Close()
	body, err := io.ReadAll(io.LimitReader(s.Body, 64<<10))
	if err != nil {
		body = nil // the status tells enough
	}
	return nil, refusal(q, s, body)
}

func unreachable(q *http.Request, err error) error {
	if q.Context().Err() != nil {
		return err
	}
	e := &Error{Kind: Down, Method: q.Method, Path: q.URL.Path, Cause: err}
	if cert := new(tls.CertificateVerificationError); errors.As(err, new(*tlspin.Error)) || errors.As(err, &cert) {
		e.Kind = Cert
	}
	return e
}

// bounded ends an answer that is too long with an error, and words one that broke
// off.
type bounded struct {
	io.ReadCloser
	left int64
	q    *http.Request
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, &Error{Kind: Answer, Method: b.q.Method, Path: b.q.URL.Path,
			Text: fmt.Sprintf("the answer is longer than %d bytes", int64(maxAnswer))}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = unreachable(b.q, err)
	}
	return n, err
}
