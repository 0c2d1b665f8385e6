package mirror

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Entry is one sealed blob.
type Entry struct {
	Name   string // as Keys.Name made it
	Size   int64  // of the sealed bytes
	SHA256 string // of them
	Clear  string // SHA-256 of the blob
	Bytes  int64  // of the blob
	Native string // what the store itself says of it, "" where it says nothing
	Pack   bool   // it holds data, and neither names nor indexes
}

// List is what a state needs.
type List struct {
	Holds   []string // folders of copies that come back from it
	Entries map[string]Entry
}

// Encode is the list's text, sorted.
func (k Keys) Encode(l List) []byte {
	var b bytes.Buffer
	b.WriteString(first)
	for _, ref := range slices.Sorted(slices.Values(l.Holds)) {
		fmt.Fprintf(&b, "# holds %s\n", ref)
	}
	for _, e := range l.Sorted() {
		kind := "names"
		if e.Pack {
			kind = "data"
		}
		fmt.Fprintf(&b, "# %s %d %d %s %s\n%s  %s\n", kind, e.Size, e.Bytes, e.Clear, cmp.Or(e.Native, "-"), e.SHA256, e.Name)
	}
	fmt.Fprintf(&b, "%s%s\n", last, k.sign(b.Bytes()))
	return b.Bytes()
}

const (
	first = "# runner mirror 1; check with sha256sum -c, from the folder above mirror/\n"
	last  = "# hmac-sha256 "
)

// Sorted are the entries by their names.
func (l List) Sorted() []Entry {
	return slices.SortedFunc(maps.Values(l.Entries), func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
}

func (k Keys) sign(text []byte) string {
	h := hmac.New(sha256.New, k.lists)
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil))
}

// Verify holds that a list is one that these keys signed.
func (k Keys) Verify(text []byte) error {
	at := bytes.LastIndex(text, []byte("\n"+last)) + 1
	if at == 0 || string(bytes.TrimSuffix(text[at:], []byte("\n"))) != last+k.sign(text[:at]) {
		return errors.New("it was changed, cut off, or written with another password")
	}
	return nil
}

// ParseList reads a list and believes nothing in it.
func ParseList(text []byte) (List, error) {
	l := List{Entries: map[string]Entry{}}
	rest, ok := bytes.CutPrefix(text, []byte(first))
	if !ok {
		return l, errors.New("it is no list of a mirror that this program knows")
	}
	var next *Entry
	for line := range bytes.Lines(rest) {
		f := strings.Fields(string(line))
		switch {
		case strings.HasPrefix(string(line), last):
			return l, nil
		case next != nil && len(f) == 2 && isSum(f[0]) && validBlob(f[1]):
			next.SHA256, next.Name = f[0], f[1]
			l.Entries[next.Name] = *next
			next = nil
			continue
		case next == nil && len(f) == 3 && f[0] == "#" && f[1] == "holds" && refPattern.MatchString(f[2]):
			l.Holds = append(l.Holds, f[2])
			continue
		case next == nil && len(f) == 6 && f[0] == "#" && (f[1] == "data" || f[1] == "names"):
			e := Entry{Clear: f[4], Pack: f[1] == "data", Native: strings.TrimPrefix(f[5], "-")}
			var err error
			if e.Size, e.Bytes, err = sizes(f[2], f[3]); err == nil && isSum(e.Clear) {
				next = &e
				continue
			}
		}
		return l, fmt.Errorf("line %.200q cannot be", line)
	}
	return l, errors.New("it has no end")
}

func sizes(sealed, bare string) (int64, int64, error) {
	a, err := strconv.ParseInt(sealed, 10, 64)
	b, berr := strconv.ParseInt(bare, 10, 64)
	if err = errors.Join(err, berr); err == nil && (a <= 0 || b < 0) {
		err = errors.New("a size cannot be")
	}
	return a, b, err
}

func isSum(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && strings.ToLower(s) == s
}

// File is a file of the repository, and the sealed blob that it comes from.
type File struct {
	Path string // below the repository's folder
	Entry
}

const indexFirst = "# runner mirror 1: SHA-256 and size of the sealed blob, its name, SHA-256 and size of the file, its name\n"

// EncodeIndex is the text of the sealed index: a line a file, for a shell to read.
func EncodeIndex(files []File) []byte {
	var b bytes.Buffer
	b.WriteString(indexFirst)
	for _, f := range files {
		fmt.Fprintf(&b, "%s %d %s %s %d %s\n", f.SHA256, f.Size, f.Name, f.Clear, f.Bytes, f.Path)
	}
	return b.Bytes()
}

// ParseIndex reads one: names stay below the folder, and none is there twice.
func ParseIndex(text []byte) ([]File, error) {
	rest, ok := bytes.CutPrefix(text, []byte(indexFirst))
	if !ok {
		return nil, errors.New("it is no index of a mirror that this program knows")
	}
	var files []File
	seen := map[string]bool{}
	for line := range bytes.Lines(rest) {
		f := strings.Fields(string(line))
		if len(f) != 6 {
			return nil, fmt.Errorf("line %.200q cannot be", line)
		}
		size, bare, err := sizes(f[1], f[4])
		if err != nil || !isSum(f[0]) || !validBlob(f[2]) || !isSum(f[3]) || !validFile(f[5]) || seen[f[5]] {
			return nil, fmt.Errorf("line %.200q cannot be", line)
		}
		seen[f[5]] = true
		files = append(files, File{f[5], Entry{Name: f[2], Size: size, SHA256: f[0], Clear: f[3], Bytes: bare, Pack: Pack(f[5])}})
	}
	return files, nil
}
