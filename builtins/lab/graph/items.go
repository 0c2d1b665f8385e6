package graph

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
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
