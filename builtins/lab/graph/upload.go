package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"time"
)

// session is an upload that is under way: sessions/ID.json beside its bytes, sessions/ID.
type session struct {
	Name     string    `json:"name"`
	Modified time.Time `json:"modified"`
	Expires  time.Time `json:"expires"`
}

func (s *Server) sessionAt(id string) string {
	return filepath.Join(s.Dir, "sessions", filepath.Base(id))
}

func (q *request) createSession(name string) error {
	if refused(path.Base(name)) {
		return &trouble{400, "invalidRequest", "The name is not allowed"}
	}
	var body struct {
		Item struct {
			FileSystemInfo struct {
				Modified time.Time `json:"lastModifiedDateTime"`
			} `json:"fileSystemInfo"`
		} `json:"item"`
	}
	if err := json.NewDecoder(io.LimitReader(q.r.Body, maxBody)).Decode(&body); err != nil && err != io.EOF {
		return &trouble{400, "invalidRequest", err.Error()}
	}
	st, err := q.load()
	if err != nil {
		return err
	}
	st.Serial++
	if err := q.save(st); err != nil {
		return err
	}
	up := session{name, body.Item.FileSystemInfo.Modified, q.Now().Add(15 * time.Minute)}
	if up.Modified.IsZero() {
		up.Modified = q.Now()
	}
	id := q.token("session", st.Serial)[:32]
	if err := os.MkdirAll(filepath.Dir(q.sessionAt(id)), 0o755); err != nil {
		return err
	}
	raw, err := json.Marshal(up)
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(q.sessionAt(id)+".json", raw, 0o644), os.WriteFile(q.sessionAt(id), nil, 0o644)); err != nil {
		return err
	}
	q.answer(200, map[string]any{"uploadUrl": q.urlOf(st, "/uploads/"+id), "expirationDateTime": up.Expires.UTC().Format(time.RFC3339),
		"nextExpectedRanges": []string{"0-"}})
	return nil
}

// upload takes a fragment, says how far the session is, or gives it up.
func (q *request) upload(st state, id string) error {
	raw, err := os.ReadFile(q.sessionAt(id) + ".json")
	if _, due := q.deeds["gone"]; due || errors.Is(err, fs.ErrNotExist) {
		return &trouble{404, "itemNotFound", "The upload session was not found"}
	}
	var up session
	if err == nil {
		err = json.Unmarshal(raw, &up)
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(q.sessionAt(id))
	if err != nil {
		return err
	}
	switch q.r.Method {
	case http.MethodGet:
		q.answer(200, map[string]any{"expirationDateTime": up.Expires.UTC().Format(time.RFC3339),
			"nextExpectedRanges": []string{fmt.Sprintf("%d-", info.Size())}})
		return nil
	case http.MethodDelete:
		if err := errors.Join(os.Remove(q.sessionAt(id)), os.Remove(q.sessionAt(id)+".json")); err != nil {
			return err
		}
		q.w.WriteHeader(http.StatusNoContent)
		return nil
	case http.MethodPut:
		return q.fragment(id, up, info.Size())
	}
	return &trouble{405, "invalidRequest", q.r.Method}
}

func (q *request) fragment(id string, up session, have int64) error {
	var from, to, total int64
	if _, err := fmt.Sscanf(q.r.Header.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &total); err != nil || to < from || to >= total {
		return &trouble{400, "invalidRequest", "Invalid Content-Range header"}
	}
	size := to - from + 1
	switch {
	case size > 60<<20:
		return &trouble{413, "invalidRequest", "The fragment is larger than 60 MiB"}
	case size%327680 != 0 && to+1 != total:
		return &trouble{400, "invalidRequest", "The fragment is not a multiple of 320 KiB"}
	case from != have:
		return &trouble{416, "invalidRange", "Optimistic concurrency failure during fragmented upload"}
	}
	if err := q.room(size); err != nil {
		return err
	}
	f, err := os.OpenFile(q.sessionAt(id), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	// The body may be slow, and it may break off: what came of it does not count.
	q.mu.Unlock()
	n, err := io.Copy(f, io.LimitReader(q.r.Body, size))
	q.mu.Lock()
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return errors.Join(err, f.Truncate(have), f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if to+1 < total {
		q.answer(202, map[string]any{"expirationDateTime": up.Expires.UTC().Format(time.RFC3339),
			"nextExpectedRanges": []string{fmt.Sprintf("%d-", to+1)}})
		return nil
	}
	if err := errors.Join(q.place(q.sessionAt(id), up.Name, up.Modified), os.Remove(q.sessionAt(id)+".json")); err != nil {
		return err
	}
	it, err := q.item(up.Name)
	if err == nil {
		q.answer(201, it)
	}
	return err
}
