package cloudflare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

const (
	maxPages   = 2000      // of one list
	maxEntries = 1_000_000 // of one list
	rereads    = 3         // of a list that moved
)

// errMoved says that a list changed while it was read.
type errMoved struct{ how string }

func (e *errMoved) Error() string { return "the list changed while it was read: " + e.how }

// settled repeats a reading that something changed under.
func settled[T any](ctx context.Context, s *Session, what string, read func() (T, error)) (T, error) {
	for try := 0; ; try++ {
		v, err := read()
		var moved *errMoved
		if !errors.As(err, &moved) {
			return v, err
		}
		if try == rereads {
			return v, &Error{Kind: Changing, Text: fmt.Sprintf("%s: %v, %d times in a row", what, moved.how, try+1)}
		}
		s.clock.Log("Cloudflare: %s: %s; reading it again", what, moved.how)
		if err := s.clock.Sleep(ctx, time.Duration(1+try)*time.Second); err != nil {
			return v, err
		}
	}
}

// pages reads a list with page numbers, whole.
func (s *Session) pages(ctx context.Context, what string, size int, fn call, query ...string) ([]json.RawMessage, error) {
	return settled(ctx, s, what, func() ([]json.RawMessage, error) { return s.pagesOnce(ctx, what, size, fn, query) })
}

func (s *Session) pagesOnce(ctx context.Context, what string, size int, fn call, query []string) ([]json.RawMessage, error) {
	var all []json.RawMessage
	total, seen := -1, map[string]bool{}
	for n := 1; ; n++ {
		if n > maxPages || len(all) > maxEntries {
			return nil, &Error{Kind: Answer, Text: fmt.Sprintf("%s: the list does not end: %d entries on %d pages", what, len(all), n-1)}
		}
		p, err := s.list(ctx, fn, append([]string{"page", strconv.Itoa(n), "per_page", strconv.Itoa(size)}, query...)...)
		if err != nil {
			return nil, err
		}
		if p.Info.Total != nil {
			if total >= 0 && total != *p.Info.Total {
				return nil, &errMoved{fmt.Sprintf("it had %d entries on its first page and %d on page %d", total, *p.Info.Total, n)}
			}
			total = *p.Info.Total
		}
		if err := unique(seen, p.Result); err != nil {
			return nil, err
		}
		all = append(all, p.Result...)
		if len(p.Result) == 0 || n >= p.Info.Pages {
			break
		}
	}
	if total >= 0 && total != len(all) {
		return nil, &errMoved{fmt.Sprintf("it has %d entries by its own count, and %d came", total, len(all))}
	}
	return all, nil
}

// cursors reads a list with cursors, whole.
func (s *Session) cursors(ctx context.Context, what string, fn call) ([]json.RawMessage, error) {
	return settled(ctx, s, what, func() ([]json.RawMessage, error) {
		var all []json.RawMessage
		seen, query := map[string]bool{}, []string(nil)
		for n := 1; ; n++ {
			if n > maxPages || len(all) > maxEntries {
				return nil, &Error{Kind: Answer, Text: fmt.Sprintf("%s: the list does not end: %d entries on %d pages", what, len(all), n-1)}
			}
			p, err := s.list(ctx, fn, query...)
			if err != nil {
				return nil, err
			}
			if err := unique(seen, p.Result); err != nil {
				return nil, err
			}
			all = append(all, p.Result...)
			next := p.Info.Cursor + p.Info.Cursors.After
			if next == "" || len(p.Result) == 0 {
				return all, nil
			}
			query = []string{"cursor", next}
		}
	})
}

// whole reads a list without paging.
func (s *Session) whole(ctx context.Context, fn call) ([]json.RawMessage, error) {
	p, err := s.list(ctx, fn)
	return p.Result, err
}

// unique refuses an entry that came before: pages overlap when the list moves, and
// a server that ignores the page sends the first one for ever.
func unique(seen map[string]bool, list []json.RawMessage) error {
	for _, raw := range list {
		id, err := idOf(raw)
		if err != nil {
			return err
		}
		if id != "" && seen[id] {
			return &errMoved{"entry " + printable(id) + " came twice"}
		}
		seen[id] = true
	}
	return nil
}

// idOf is the id of an object, which is valid JSON.
func idOf(raw json.RawMessage) (string, error) {
	if v, ok := texts(raw, "id"); ok {
		return v[0], nil
	}
	var o struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return "", &Error{Kind: Answer, Text: "an entry of a list is not an object with an id", Cause: err}
	}
	return o.ID, nil
}
