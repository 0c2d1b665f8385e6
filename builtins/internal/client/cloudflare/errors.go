package cloudflare

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Kind says what an Error means for the caller.
type Kind int

// Kinds of errors.
const (
	Answer    Kind = iota // the answer cannot be understood, or the request was refused
	Auth                  // the token is wrong, expired or malformed
	Forbidden             // the token lacks a permission
	NotFound              // there is no such object, or the plan does not have it
	Limited               // too many requests
	Down                  // no answer, or 5xx
	Changing              // the list moved while it was read, each time
	Cert                  // the certificate is none that is accepted
)

// Error is an answer that is none.
type Error struct {
	Kind   Kind
	Method string
	Path   string
	Status int           // 0 without an answer
	Code   int           // the vendor's, 0 without one
	Text   string        // what the vendor said
	Retry  time.Duration // of Retry-After; 0 without one
	Cause  error
}

func (e *Error) Error() string {
	text := e.Text
	if text == "" && e.Cause != nil {
		text = e.Cause.Error()
	}
	if e.Status != 0 {
		text = strings.TrimSpace(fmt.Sprintf("%s (%d)", text, e.Status))
	}
	if e.Code != 0 {
		text += fmt.Sprintf(" [%d]", e.Code)
	}
	if e.Path == "" {
		return text
	}
	return e.Method + " " + e.Path + ": " + text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// KindOf returns the kind of an error, and whether it has one.
func KindOf(err error) (Kind, bool) {
	var e *Error
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Kind, true
}

// absent reports that a part is not to be had, while others are.
func absent(err error) (why string, ok bool) {
	var e *Error
	if !errors.As(err, &e) || e.Kind != Forbidden && e.Kind != NotFound {
		return "", false
	}
	return fmt.Sprintf("%d %s", e.Status, e.Text), true
}

// refusal makes an Error of an answer from status 300 on.
func refusal(q *http.Request, s *http.Response, body []byte) *Error {
	e := &Error{Method: q.Method, Path: q.URL.Path, Status: s.StatusCode}
	e.Code, e.Text = said(body)
	if e.Text == "" {
		e.Text = http.StatusText(s.StatusCode)
	}
	switch {
	case s.StatusCode == http.StatusUnauthorized, e.Code == 1000, e.Code == 6003, e.Code == 6111, s.StatusCode == http.StatusForbidden &&
		e.Code == 9109:
		e.Kind = Auth
	case s.StatusCode == http.StatusForbidden:
		e.Kind = Forbidden
	case s.StatusCode == http.StatusNotFound, s.StatusCode == http.StatusMethodNotAllowed, s.StatusCode == http.StatusGone:
		e.Kind = NotFound
	case s.StatusCode == http.StatusTooManyRequests:
		e.Kind = Limited
		if n, err := strconv.Atoi(strings.TrimSpace(s.Header.Get("Retry-After"))); err == nil && n > 0 {
			e.Retry = min(time.Duration(n)*time.Second, longest)
		}
	case s.StatusCode >= 500:
		e.Kind = Down
	}
	return e
}

// said is what an envelope says of errors; they may be bare strings.
func said(body []byte) (code int, text string) {
	var env struct {
		Errors []json.RawMessage `json:"errors"`
	}
	if json.Unmarshal(body, &env) != nil {
		return 0, ""
	}
	var all []string
	for _, raw := range env.Errors[:min(len(env.Errors), 10)] {
		var o struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		}
		if json.Unmarshal(raw, &o) != nil && json.Unmarshal(raw, &o.Message) != nil {
			o.Message = string(raw)
		}
		if code == 0 {
			code = o.Code
		}
		all = append(all, printable(o.Message))
	}
	return code, strings.Join(all, "; ")
}

// printable keeps a remote text from garbling a terminal.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}
