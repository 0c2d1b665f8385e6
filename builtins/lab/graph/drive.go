package graph

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
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

// An id is the path in hex behind the drive's mark: what is found again by it needs no
// table.
const mark = "01LAB"

func idOf(name string) string { return mark + hex.EncodeToString([]byte(name)) }

func nameOf(id string) (string, bool) {
	raw, err := hex.DecodeString(strings.TrimPrefix(id, mark))
	return string(raw), err == nil && strings.HasPrefix(id, mark)
}

// item is a driveItem.
func (q *request) item(name string) (map[string]any, error) {
	info, err := os.Stat(q.at(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notFound
	}
	if err != nil {
		return nil, err
	}
	stamp := info.ModTime().UTC().Format("2006-01-02T15:04:05.000Z")
	parent := path.Dir("/" + name)[1:]
	it := map[string]any{"id": idOf(name), "name": path.Base("/" + name), "size": info.Size(), "eTag": fmt.Sprintf("%q", stamp),
		"cTag": fmt.Sprintf("%q", stamp), "createdDateTime": stamp, "lastModifiedDateTime": stamp,
		"webUrl": "https://" + SharePoint + "/personal/runner/Documents/" + name,
		"parentReference": map[string]string{"driveId": DriveID, "driveType": "business", "id": idOf(parent),
			"path": "/drives/" + DriveID + "/root:/" + parent},
		"fileSystemInfo": map[string]string{"createdDateTime": stamp, "lastModifiedDateTime": stamp}}
	if info.IsDir() {
		entries, err := os.ReadDir(q.at(name))
		if err != nil {
			return nil, err
		}
		it["folder"], it["size"] = map[string]int{"childCount": len(entries)}, 0
		return it, nil
	}
	sum, err := os.ReadFile(q.hashAt(name))
	if errors.Is(err, fs.ErrNotExist) { // somebody else put the file there
		sum, err = q.hash(q.at(name))
	}
	if err != nil {
		return nil, err
	}
	it["file"] = map[string]any{"mimeType": "application/octet-stream", "hashes": map[string]string{"quickXorHash": string(sum)}}
	return it, nil
}

func (s *Server) at(name string) string {
	return filepath.Join(s.Files(), filepath.FromSlash(path.Join("/", name)))
}
func (s *Server) hashAt(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(s.Dir, "hashes", hex.EncodeToString(sum[:]))
}

// hash is the quickXorHash of a file, as Graph shows it.
func (s *Server) hash(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum, err := quickXor(f)
	return []byte(base64.StdEncoding.EncodeToString(sum)), err
}

// real finds a path without regard to case; what is not there stays as it was written.
func (s *Server) real(name string) string {
	found := ""
	for _, part := range strings.Split(strings.Trim(name, "/"), "/") {
		if part == "" || part == "." || part == ".." {
			continue
		}
		entries, err := os.ReadDir(s.at(found))
		if err == nil {
			for _, e := range entries {
				if strings.EqualFold(e.Name(), part) {
					part = e.Name()
				}
			}
		}
		found = path.Join(found, part)
	}
	return found
}

// refused are names that SharePoint does not take.
func refused(name string) bool {
	lower := strings.ToLower(name)
	switch strings.TrimSuffix(lower, path.Ext(lower)) {
	case "con", "prn", "aux", "nul", "com0", "lpt0", "com1", "lpt1":
		return true
	}
	return name == "" || lower == ".lock" || lower == "desktop.ini" || strings.HasPrefix(name, "~$") || strings.Contains(lower, "_vti_") ||
		strings.ContainsAny(name, `"*:<>?/\|`) || strings.TrimSpace(name) != name || len(name) > 255
}

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

// used is what counts against the quota, and what of it lies in the recycle bin.
func (s *Server) used() (used, deleted int64) {
	for _, dir := range []string{"drive", "versions", "recycle"} {
		_ = filepath.WalkDir(filepath.Join(s.Dir, dir), func(_ string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return nil
			}
			if info, err := e.Info(); err == nil {
				used += info.Size()
				if dir == "recycle" {
					deleted += info.Size()
				}
			}
			return nil
		})
	}
	return used, deleted
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

// shelve moves a file away under a name that nothing has.
func (s *Server) shelve(shelf, name string) error {
	dir := filepath.Join(s.Dir, shelf)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	st, err := s.load()
	if err != nil {
		return err
	}
	st.Serial++
	if err := s.save(st); err != nil {
		return err
	}
	return os.Rename(s.at(name), filepath.Join(dir, fmt.Sprintf("%06d-%s", st.Serial, path.Base(name))))
}

// room holds that bytes fit.
func (q *request) room(bytes int64) error {
	st, err := q.load()
	if err != nil {
		return err
	}
	if used, _ := q.used(); st.Quota > 0 && used+bytes > st.Quota {
		return &trouble{507, "quotaLimitReached", "Insufficient space available in the user's quota"}
	}
	return nil
}

// place makes a finished file the one of its name; what was there becomes a version.
func (q *request) place(draft, name string, modified time.Time) error {
	if _, err := os.Stat(q.at(name)); err == nil {
		if err := q.shelve("versions", name); err != nil {
			return err
		}
	}
	sum, err := q.hash(draft)
	if err != nil {
		return err
	}
	if _, due := q.deeds["flip"]; due {
		if err := flip(draft); err != nil {
			return err
		}
	}
	for _, dir := range []string{filepath.Dir(q.at(name)), filepath.Dir(q.hashAt(name))} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(q.hashAt(name), sum, 0o644); err != nil {
		return err
	}
	if err := os.Chtimes(draft, modified, modified); err != nil {
		return err
	}
	return os.Rename(draft, q.at(name))
}

// flip changes a bit in the middle of a file.
func flip(file string) error {
	b, err := os.ReadFile(file)
	if err != nil || len(b) == 0 {
		return err
	}
	b[len(b)/2] ^= 1
	return os.WriteFile(file, b, 0o644)
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

// quickXor is Microsoft's digest: byte i is XORed into 160 bits from bit 11*i on, and the
// length into the last 8 bytes.
func quickXor(r io.Reader) ([]byte, error) {
	const width = 160
	var ring [width / 8]byte
	buf := make([]byte, 256<<10)
	bit, length := 0, uint64(0)
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			at, by := bit/8, uint(bit%8)
			ring[at] ^= b << by
			if by > 0 {
				ring[(at+1)%len(ring)] ^= b >> (8 - by)
			}
			bit = (bit + 11) % width
		}
		length += uint64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	for i := range 8 {
		ring[12+i] ^= byte(length >> (8 * i))
	}
	return ring[:], nil
}
