package initramfs

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// walker counts over all archives of an image.
type walker struct {
	ctx      context.Context
	fn       func(Entry, io.Reader) error
	src      *source
	total    int64 // unpacked bytes
	entries  int
	archives int
}

const headerSize = 110 // 6 of magic, 13 numbers of 8 hexadecimal digits

// The numbers of a header that are used, by their place.
const (
	fieldMode = 1
	fieldSize = 6
	fieldName = 11
)

// archive reads one cpio archive, up to its trailer.
func (w *walker) archive(r *bufio.Reader) error {
	for {
		e, size, err := w.header(r)
		if err != nil {
			return err
		}
		if e.Name == "TRAILER!!!" {
			w.archives++
			return nil
		}
		if w.entries++; w.entries > MaxEntries {
			return w.fault(fmt.Sprintf("it holds more than %d entries", MaxEntries), nil)
		}
		if w.total+size > MaxBytes {
			return w.fault(fmt.Sprintf("it unpacks to more than %d bytes", int64(MaxBytes)), nil)
		}
		if err := w.content(r, e, size); err != nil {
			return err
		}
	}
}

func (w *walker) header(r *bufio.Reader) (Entry, int64, error) {
	if w.ctx.Err() != nil {
		return Entry{}, 0, context.Cause(w.ctx)
	}
	var head [headerSize]byte
	if err := w.full(r, head[:]); err != nil {
		return Entry{}, 0, w.blame("read the header of an entry", err)
	}
	if magic := string(head[:6]); magic != "070701" && magic != "070702" {
		return Entry{}, 0, w.fault(fmt.Sprintf("an entry begins with %q, want 070701", magic), nil)
	}
	var field [13]int64
	for i := range field {
		v, err := strconv.ParseUint(string(head[6+8*i:14+8*i]), 16, 32)
		if err != nil {
			return Entry{}, 0, w.fault("a number of an entry's header is not hexadecimal", nil)
		}
		field[i] = int64(v)
	}
	if field[fieldName] < 2 || field[fieldName] > maxName {
		return Entry{}, 0, w.fault(fmt.Sprintf("an entry's name is %d bytes long", field[fieldName]), nil)
	}
	raw := make([]byte, field[fieldName]+pad(headerSize+field[fieldName]))
	if err := w.full(r, raw); err != nil {
		return Entry{}, 0, w.blame("read the name of an entry", err)
	}
	name := string(raw[:field[fieldName]-1])
	if raw[field[fieldName]-1] != 0 || strings.Contains(name, "\x00") {
		return Entry{}, 0, w.fault("an entry's name does not end where it should", nil)
	}
	if name != "TRAILER!!!" {
		name = strings.TrimPrefix(path.Clean("/"+name), "/")
		if name == "" {
			name = "."
		}
	}
	e := Entry{Name: name, Mode: modeOf(field[fieldMode])}
	if e.Mode.IsRegular() {
		e.Size = field[fieldSize]
	} else if field[fieldSize] > 0 && e.Mode&fs.ModeSymlink == 0 {
		return Entry{}, 0, w.fault(e.Name+" has content, and is not a file", nil)
	}
	return e, field[fieldSize], nil
}

func (w *walker) full(r io.Reader, p []byte) error {
	n, err := io.ReadFull(r, p)
	w.total += int64(n)
	return err
}

func pad(n int64) int64 { return (4 - n%4) % 4 }

// content hands an entry's bytes out and skips what is left of them.
func (w *walker) content(r *bufio.Reader, e Entry, size int64) error {
	body := &io.LimitedReader{R: r, N: size}
	if e.Mode&fs.ModeSymlink != 0 {
		if size > maxLink {
			return w.fault(fmt.Sprintf("the link %s is %d bytes long", e.Name, size), nil)
		}
		to, err := io.ReadAll(body)
		if err != nil || int64(len(to)) != size {
			return w.blame("read link "+e.Name, orEOF(err))
		}
		e.Link = string(to)
	}
	if err := w.fn(e, body); err != nil {
		if w.src.err != nil {
			return w.src.err
		}
		return err
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return w.blame("read "+e.Name, err)
	}
	if body.N > 0 {
		return w.blame("read "+e.Name, io.EOF)
	}
	w.total += size
	var rest [4]byte
	if err := w.full(r, rest[:pad(size)]); err != nil {
		return w.blame("read the padding of "+e.Name, err)
	}
	return nil
}

func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// modeOf translates the mode of stat(2).
func modeOf(m int64) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	for bit, is := range map[int64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if m&bit != 0 {
			mode |= is
		}
	}
	switch m & 0o170000 {
	case 0o100000:
	case 0o040000:
		mode |= fs.ModeDir
	case 0o120000:
		mode |= fs.ModeSymlink
	case 0o060000:
		mode |= fs.ModeDevice
	case 0o020000:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case 0o010000:
		mode |= fs.ModeNamedPipe
	case 0o140000:
		mode |= fs.ModeSocket
	default:
		mode |= fs.ModeIrregular
	}
	return mode
}
