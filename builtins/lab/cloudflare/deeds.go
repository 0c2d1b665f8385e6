package cloudflare

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// deeds are what a request can meet.
var deeds = []string{"answer", "bare", "limit", "remaining", "garbage", "cut-before", "hang", "slow", "empty", "endless", "moving", "short"}

// before does the deeds that come instead of an answer, or delay it.
func (s *Server) before(w http.ResponseWriter, q *request) error {
	for _, d := range q.due {
		switch d.Name {
		case "slow":
			t, err := d.Duration(time.Second)
			if err != nil {
				return err
			}
			if err := s.cfg.Sleep(q.Context(), t); err != nil {
				return err
			}
		case "hang":
			<-q.Context().Done()
			panic(http.ErrAbortHandler)
		case "cut-before":
			panic(http.ErrAbortHandler)
		case "answer", "bare":
			return stated(d.Args, d.Name == "bare")
		case "limit":
			return &failure{status: 429, code: 971, text: "Please wait and consider throttling your request speed", retry: d.Args}
		case "garbage":
			return page(w, d.Args)
		}
	}
	if q.over {
		return &failure{status: 429, code: 971, text: "Please wait and consider throttling your request speed"}
	}
	return nil
}

// page answers with HTML, as a proxy in between would.
func page(w http.ResponseWriter, text string) error {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte("<!DOCTYPE html><title>" + text + "</title>"))
	return errAnswered
}

// errAnswered says that the deed was the answer.
var errAnswered = errors.New("answered")

func stated(args string, bare bool) error {
	number, text, _ := strings.Cut(args, " ")
	status, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	code := map[int]int{401: 1000, 403: 10000, 404: 7003, 429: 971}[status]
	if text == "" {
		text = map[int]string{401: "Invalid API Token", 403: "Authentication error", 404: "Could not route to that object"}[status]
	}
	if text == "" {
		text = http.StatusText(status)
	}
	return &failure{status: status, code: code, text: text, bare: bare}
}
