package cloudflare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/cloudflare/cloudflare-go/v7/option"
)

// call is one request: a method of the library, or plain. It returns the bytes of
// the answer; query is pairs of name and value.
type call func(ctx context.Context, query ...string) ([]byte, error)

// library makes a call of a method of the library.
func library[R any](send func(ctx context.Context, opts ...option.RequestOption) (R, error)) call {
	return func(ctx context.Context, query ...string) (raw []byte, err error) {
		opts := []option.RequestOption{option.WithResponseBodyInto(&raw)}
		for i := 0; i < len(query); i += 2 {
			opts = append(opts, option.WithQuery(query[i], query[i+1]))
		}
		_, err = send(ctx, opts...)
		return raw, err
	}
}

// plain is a GET without a method of the library.
func (s *Session) plain(path ...string) call {
	return func(ctx context.Context, query ...string) ([]byte, error) {
		u := s.c.base.JoinPath(path...)
		values := url.Values{}
		for i := 0; i < len(query); i += 2 {
			values.Set(query[i], query[i+1])
		}
		u.RawQuery = values.Encode()
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return nil, err
		}
		q.Header.Set("User-Agent", "runner")
		a, err := s.c.http.Do(q)
		if err != nil {
			return nil, err
		}
		defer a.Body.Close()
		return io.ReadAll(a.Body)
	}
}

// identifier is what the vendor names objects with; everything that goes into a
// path must be one.
var identifier = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)

func ids(list ...string) error {
	for _, id := range list {
		if !identifier.MatchString(id) {
			return &Error{Kind: Answer, Text: fmt.Sprintf("bad identifier %q", printable(id))}
		}
	}
	return nil
}

// attempts bounds the tries of one request. Waits without Retry-After grow until
// the block of 5 minutes is over.
var (
	downWaits    = []time.Duration{time.Second, 4 * time.Second, 15 * time.Second}
	limitedWaits = []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute}
)

// fetch sends a request until it is answered, and returns the answer's bytes.
func (s *Session) fetch(ctx context.Context, fn call, query ...string) ([]byte, error) {
	for down, limited := 0, 0; ; {
		if err := s.hold(ctx); err != nil {
			return nil, err
		}
		raw, err := fn(ctx, query...)
		if err == nil {
			return raw, nil
		}
		var e *Error
		if ctx.Err() != nil || !errors.As(err, &e) {
			return nil, err
		}
		var wait time.Duration
		switch {
		case e.Kind == Down && down < len(downWaits):
			wait, down = downWaits[down], down+1
		case e.Kind == Limited && limited < len(limitedWaits):
			if wait = e.Retry; wait == 0 {
				wait = limitedWaits[limited]
			}
			limited++
		default:
			return nil, e
		}
		s.clock.Log("Cloudflare: %v; asking again in %v", e, wait)
		if err := s.clock.Sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// hold waits until the limiter lets a request through.
func (s *Session) hold(ctx context.Context) error {
	wait := s.c.rate.take(s.clock.Now())
	if wait <= 0 {
		return ctx.Err()
	}
	if wait > 5*time.Second {
		s.clock.Log("Cloudflare: few requests are left; waiting %v", wait.Round(time.Second))
	}
	return s.clock.Sleep(ctx, wait)
}

// page is the envelope of an answer.
type page[T any] struct {
	Success bool            `json:"success"`
	Errors  json.RawMessage `json:"errors"`
	Result  T               `json:"result"`
	Info    struct {
		Page    int    `json:"page"`
		Pages   int    `json:"total_pages"`
		Total   *int   `json:"total_count"`
		Cursor  string `json:"cursor"`
		Cursors struct {
			After string `json:"after"`
		} `json:"cursors"`
	} `json:"result_info"`
}

// envelope sends a request and opens the envelope of its answer.
func envelope[T any](ctx context.Context, s *Session, fn call, query ...string) (page[T], error) {
	var p page[T]
	raw, err := s.fetch(ctx, fn, query...)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return p, &Error{Kind: Answer, Text: "the answer is not the API's JSON: " + printable(string(raw[:min(len(raw), 80)])), Cause: err}
	}
	if !p.Success {
		code, text := said(raw)
		return p, &Error{Kind: Answer, Status: http.StatusOK, Code: code, Text: "the answer says that it failed: " + text}
	}
	return p, nil
}

// object reads one object, canonical.
func (s *Session) object(ctx context.Context, fn call, without ...string) (json.RawMessage, error) {
	p, err := envelope[json.RawMessage](ctx, s, fn)
	if err != nil {
		return nil, err
	}
	return Canonical(p.Result, without...)
}

// list reads one page of a list. Its entries are valid JSON.
func (s *Session) list(ctx context.Context, fn call, query ...string) (page[[]json.RawMessage], error) {
	return envelope[[]json.RawMessage](ctx, s, fn, query...)
}
