package logbatch

import (
	"fmt"
	"strings"
)

// Spot is where the reading of a log stands: of the file that is written, and of those
// that it was rotated to.
type Spot struct {
	Marks []Mark `json:"marks,omitempty"`
	// Old stands for marks of files that were read to their end, where they would be
	// too many: of those that were not changed after it, in nanoseconds since 1970.
	Old int64 `json:"old,omitempty"`
	// Names are those that were found to be rotated files by what they hold, with 0 for
	// each digit: others that are written alike are some, too.
	Names []Name `json:"names,omitempty"`
	Gone  bool   `json:"gone,omitempty"` // no file was there, and that was reported

	*Earlier
}

// Mark is where the reading of one file stands. The file is known by what it holds
// rather than by its name: names move on when logs are rotated. That it lies there
// unchanged is seen without reading it.
type Mark struct {
	Dev, Inode uint64
	Size       int64 // as it lies there, packed or not
	Changed    int64 // nanoseconds since 1970
	Offset     int64 // in its clear bytes: what is before it was read
	Len        int64 // bytes of its head that Head is of, at most MaxPrint
	Head       string
	Tail       string // of up to MaxPrint bytes before Offset

	Last   bool // it was written last
	Unread bool // a limit ended the batch before its end
	Copy   bool // it was the beginning of the log itself, which is copied before it is truncated
	Bad    bool // it could not be unpacked to its end, and that was reported
}

// MaxPrint is how much of a file's head, and of what lies before an offset, is digested.
const MaxPrint = 1024

// Earlier is what batches say that were made before marks were: of the file that was
// written last.
type Earlier struct {
	Dev     uint64 `json:"dev"`
	Inode   uint64 `json:"inode"`
	Offset  int64  `json:"offset"`
	Head    string `json:"head"`
	Len     int64  `json:"head_len"`
	Tail    string `json:"tail"`
	Rotated bool   `json:"rotated,omitempty"` // a limit ended the batch in a rotated file
	Before  *Print `json:"before,omitempty"`  // the newest of the rotated files as they were then
}

// Print recognises a file: by what it begins with, or, when it is empty, by its inode.
type Print struct {
	Dev   uint64 `json:"dev"`
	Inode uint64 `json:"inode"`
	Head  string `json:"head"`
	Len   int64  `json:"len"`
}

// MarshalText writes a mark in one line: there can be hundreds of them.
func (m Mark) MarshalText() ([]byte, error) {
	flags := ""
	for _, f := range []struct {
		letter string
		set    bool
	}{{"l", m.Last}, {"u", m.Unread}, {"c", m.Copy}, {"b", m.Bad}} {
		if f.set {
			flags += f.letter
		}
	}
	numbers := fmt.Sprint(m.Dev, m.Inode, m.Size, m.Changed, m.Offset, m.Len)
	return fmt.Appendf(nil, "%s %s %s %s", numbers, word(m.Head), word(m.Tail), word(flags)), nil
}

// UnmarshalText reads it.
func (m *Mark) UnmarshalText(b []byte) error {
	var head, tail, flags string
	n, err := fmt.Sscan(string(b), &m.Dev, &m.Inode, &m.Size, &m.Changed, &m.Offset, &m.Len, &head, &tail, &flags)
	if err != nil || n != 9 || m.Size < 0 || m.Offset < 0 || m.Len < 0 || m.Len > MaxPrint {
		return fmt.Errorf("%.120q says of no file where its reading stands", b)
	}
	m.Head, m.Tail, flags = unword(head), unword(tail), unword(flags)
	if rest := strings.Trim(flags, "lucb"); rest != "" {
		return fmt.Errorf("%.120q says %q of a file, which is not known", b, rest)
	}
	has := func(letter string) bool { return strings.Contains(flags, letter) }
	m.Last, m.Unread, m.Copy, m.Bad = has("l"), has("u"), has("c"), has("b")
	return nil
}

func word(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func unword(s string) string {
	if s == "-" {
		return ""
	}
	return s
}
