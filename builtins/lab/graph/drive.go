package graph

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

// drive routes the calls below /v1.0.
func (q *request) drive() error {
	p, ok := strings.CutPrefix(q.r.URL.EscapedPath(), "/v1.0")
	if !ok {
		return notFound
	}
	if p == "/me/drive" || p == "/drives/"+url.PathEscape(DriveID) || p == "/drives/"+DriveID {
		return q.about()
	}
	rest, ok := strings.CutPrefix(p, "/drives/"+DriveID+"/")
	if !ok {
		if rest, ok = strings.CutPrefix(p, "/drives/"+url.PathEscape(DriveID)+"/"); !ok {
			return notFound
		}
	}
	// root, root:/path:/verb, items/ID, items/ID:/path:/verb, items/ID/verb
	base, verb := "", ""
	if id, ok := strings.CutPrefix(rest, "items/"); ok {
		end := strings.IndexAny(id, ":/")
		if end < 0 {
			end = len(id)
		}
		name, ok := nameOf(strings.TrimPrefix(id[:end], DriveID+"%23"))
		if !ok {
			return notFound
		}
		base, rest = name, id[end:]
	} else if rest, ok = strings.CutPrefix(rest, "root"); !ok {
		return notFound
	}
	if below, ok := strings.CutPrefix(rest, ":/"); ok {
		below, verb, _ = strings.Cut(below, ":")
		clear, err := url.PathUnescape(below)
		if err != nil {
			return err
		}
		base = path.Join(base, clear)
	} else {
		verb = rest
	}
	return q.act(q.real(base), strings.Trim(verb, "/:"))
}

func (q *request) act(name, verb string) error {
	switch q.r.Method + " " + verb {
	case "GET ":
		it, err := q.item(name)
		if err == nil {
			q.answer(200, it)
		}
		return err
	case "GET children":
		return q.children(name)
	case "POST children":
		return q.makeFolder(name)
	case "POST createUploadSession":
		return q.createSession(name)
	case "PUT content":
		return q.putWhole(name)
	case "GET content":
		if info, err := os.Stat(q.at(name)); err != nil || info.IsDir() {
			return notFound
		}
		st, err := q.load()
		if err != nil {
			return err
		}
		http.Redirect(q.w, q.r, q.urlOf(st, "/download/"+name), http.StatusFound)
		return nil
	case "DELETE ":
		return q.remove(name)
	case "PATCH ":
		return q.touch(name)
	}
	return &trouble{400, "invalidRequest", "unsupported: " + q.r.Method + " " + verb}
}

func (q *request) about() error {
	st, err := q.load()
	if err != nil {
		return err
	}
	used, deleted := q.used()
	q.answer(200, map[string]any{"id": DriveID, "driveType": "business",
		"owner": map[string]any{"user": map[string]string{"displayName": "Runner",
			"email": "runner@contoso.example"}},
		"quota": map[string]any{"total": st.Quota, "used": used, "remaining": max(0, st.Quota-used), "deleted": deleted, "state": "normal"}})
	return nil
}

// children is a list in pages.
func (q *request) children(name string) error {
	info, err := os.Stat(q.at(name))
	if name == "" && errors.Is(err, fs.ErrNotExist) {
		q.answer(200, map[string]any{"value": []any{}})
		return nil
	}
	if err != nil || !info.IsDir() {
		return notFound
	}
	entries, err := os.ReadDir(q.at(name))
	if err != nil {
		return err
	}
	sort.Slice(entries, func(i, k int) bool { return entries[i].Name() < entries[k].Name() })
	if _, due := q.deeds["late"]; due && len(entries) > 0 {
		entries = entries[:len(entries)-1]
	}
	top, err := strconv.Atoi(q.r.URL.Query().Get("$top"))
	if err != nil || top <= 0 || top > 1000 {
		top = 200
	}
	from, err := strconv.Atoi(q.r.URL.Query().Get("$skiptoken"))
	if err != nil || from < 0 || from > len(entries) {
		from = 0
	}
	page := map[string]any{}
	value := []any{}
	for _, e := range entries[from:min(len(entries), from+top)] {
		it, err := q.item(path.Join(name, e.Name()))
		if err != nil {
			return err
		}
		value = append(value, it)
	}
	page["value"] = value
	if from+top < len(entries) {
		next := *q.r.URL
		next.Scheme, next.Host = "https", API
		query := next.Query()
		query.Set("$skiptoken", strconv.Itoa(from+top))
		next.RawQuery = query.Encode()
		page["@odata.nextLink"] = next.String()
	}
	q.answer(200, page)
	return nil
}

func (q *request) makeFolder(parent string) error {
	var body struct {
		Name     string `json:"name"`
		Conflict string `json:"@microsoft.graph.conflictBehavior"`
	}
	if err := json.NewDecoder(io.LimitReader(q.r.Body, maxBody)).Decode(&body); err != nil {
		return &trouble{400, "invalidRequest", err.Error()}
	}
	if refused(body.Name) {
		return &trouble{400, "invalidRequest", "The name is not allowed"}
	}
	name := q.real(path.Join(parent, body.Name))
	if _, err := os.Stat(q.at(name)); err == nil {
		return &trouble{409, "nameAlreadyExists", "Name already exists"}
	}
	if err := os.MkdirAll(q.at(name), 0o755); err != nil {
		return err
	}
	it, err := q.item(name)
	if err == nil {
		q.answer(201, it)
	}
	return err
}

// touch changes the times of an item.
func (q *request) touch(name string) error {
	var body struct {
		FileSystemInfo struct {
			Modified time.Time `json:"lastModifiedDateTime"`
		} `json:"fileSystemInfo"`
	}
	if err := json.NewDecoder(io.LimitReader(q.r.Body, maxBody)).Decode(&body); err != nil {
		return &trouble{400, "invalidRequest", err.Error()}
	}
	if m := body.FileSystemInfo.Modified; !m.IsZero() {
		if err := os.Chtimes(q.at(name), m, m); err != nil {
			return notFound
		}
	}
	it, err := q.item(name)
	if err == nil {
		q.answer(200, it)
	}
	return err
}

// remove moves an item into the recycle bin.
func (q *request) remove(name string) error {
	if _, err := os.Lstat(q.at(name)); name == "" || err != nil {
		return notFound
	}
	if err := q.shelve("recycle", name); err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (q *request) putWhole(name string) error {
	if refused(path.Base(name)) {
		return &trouble{400, "invalidRequest", "The name is not allowed"}
	}
	if q.r.ContentLength >= 262144000 {
		return &trouble{413, "invalidRequest", "The request is too large"}
	}
	if err := q.room(q.r.ContentLength); err != nil {
		return err
	}
	if err := os.MkdirAll(q.Dir, 0o755); err != nil {
		return err
	}
	draft := filepath.Join(q.Dir, "whole.new")
	f, err := os.Create(draft)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, q.r.Body)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := q.place(draft, name, q.Now()); err != nil {
		return err
	}
	it, err := q.item(name)
	if err == nil {
		q.answer(201, it)
	}
	return err
}

func (q *request) download(name string) error {
	name = q.real(name)
	if _, due := q.deeds["other"]; due {
		entries, err := os.ReadDir(q.at(path.Dir(name)))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !e.IsDir() && e.Name() != path.Base(name) {
				name = path.Join(path.Dir(name), e.Name())
				break
			}
		}
	}
	f, err := os.Open(q.at(name))
	if err != nil {
		return notFound
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "application/octet-stream")
	if _, due := q.deeds["short"]; due {
		q.w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
		_, _ = io.CopyN(q.w, f, info.Size()/2)
		panic(http.ErrAbortHandler)
	}
	// A range is answered as it is asked for; the lock is let go: a file that is read
	// never changes, it is replaced.
	q.mu.Unlock()
	defer q.mu.Lock()
	http.ServeContent(q.w, q.r, "", info.ModTime(), f)
	return nil
}
