// Package journal reads the export format of the systemd journal: entries divided
// by empty lines, of fields that are "NAME=value" or, where a value is not a plain
// text, "NAME", a length as 64 bits little-endian, the bytes, and a line end. The
// source of facts is systemd's description of its export formats.
//
// It is read as a stream. Values pass through whatever their length; only the few
// fields that say where an entry stands are kept, and those are bounded.
package journal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Limits of what is kept in memory.
const (
	maxName  = 1 << 10 // bytes of a field's name; journald allows 64
	maxValue = 4 << 10 // of a value that is kept
)

// Entry is where one entry stands. Its slices are valid until the next entry is
// read: there are many entries, and most of them are forgotten at once.
type Entry struct {
	Cursor []byte
	Time   time.Time
	Boot   []byte // id
	Fields int
	Bytes  int64 // of the entry in the stream, with the empty line behind it
}

// ErrCut says that the stream ends within an entry.
var ErrCut = errors.New("the export ends within an entry")

// Sequence takes the id of the sequence and the number in it out of a cursor, which
// holds them in every version of systemd: "s=…;i=…;b=…".
func Sequence(cursor []byte) (id []byte, number uint64, ok bool) {
	for len(cursor) > 0 {
		var part []byte
		part, cursor, _ = bytes.Cut(cursor, []byte{';'})
		k, v, _ := bytes.Cut(part, []byte{'='})
		switch string(k) {
		case "s":
			id = v
		case "i":
			n, err := strconv.ParseUint(string(v), 16, 64)
			if err != nil {
				return nil, 0, false
			}
			number, ok = n, true
		}
	}
	return id, number, ok && len(id) > 0
}

// Read parses entries and calls fn after each one. What is read is written to w as
// it is, in whole entries: when fn returns an error, the entry is in w, and nothing
// after it. A stream that ends without the empty line behind its last entry was cut
// off: ErrCut; then a part of that entry is in w.
func Read(r io.Reader, w io.Writer, fn func(Entry) error) error {
	return ReadBehind(r, w, nil, fn)
}

// ReadBehind is Read that leaves entries out: shipped says of a cursor whether its
// entry is known already. It is asked where an entry begins with its cursor, as
// journalctl's do.
func ReadBehind(r io.Reader, w io.Writer, shipped func(cursor []byte) bool, fn func(Entry) error) error {
	br := bufio.NewReaderSize(r, 256<<10)
	p := &parser{r: br, w: w, to: w, shipped: shipped}
	for {
		e, err := p.entry()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if p.left {
			continue
		}
		if err := fn(e); err != nil {
			return err
		}
	}
}

type parser struct {
	r  *bufio.Reader
	w  io.Writer // where the entry goes
	to io.Writer // where those go that are wanted
	n  int64     // bytes of the entry so far

	shipped func(cursor []byte) bool
	left    bool // the entry is left out

	cursor, boot []byte // of the entry, kept from one to the next
}

func (p *parser) write(b []byte) error {
	p.n += int64(len(b))
	_, err := p.w.Write(b)
	return err
}

// entry reads up to the empty line; io.EOF when there is no entry any more.
func (p *parser) entry() (e Entry, err error) {
	p.n, p.w, p.left = 0, p.to, false
	for {
		line, whole, err := p.line()
		switch {
		case err == io.EOF && len(line) == 0 && e.Fields == 0:
			return e, io.EOF
		case err == io.EOF:
			return e, ErrCut
		case err != nil:
			return e, err
		}
		if len(line) == 1 && whole { // the line end alone
			if e.Fields == 0 {
				continue // empty lines between entries
			}
			if err := p.write(line); err != nil {
				return e, err
			}
			e.Bytes = p.n
			return e, nil
		}
		if err := p.field(line, whole, &e); err != nil {
			return e, err
		}
	}
}

// line reads up to a line end, at most as much as the buffer holds; whole tells
// whether its end is in it.
func (p *parser) line() ([]byte, bool, error) {
	b, err := p.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		return b, false, nil
	}
	return b, err == nil, err
}

// field takes one field whose first line, or the beginning of it, was read.
func (p *parser) field(line []byte, whole bool, e *Entry) error {
	e.Fields++
	eq := bytes.IndexByte(line, '=')
	if eq < 0 && whole {
		return p.binary(line, e)
	}
	if eq < 1 || eq > maxName || !plainName(line[:eq]) {
		return fmt.Errorf("read journal: %q is not a field", head(line))
	}
	if whole && kept(line[:eq]) {
		if err := p.take(e, line[:eq], line[eq+1:len(line)-1]); err != nil {
			return err
		}
		if e.Fields == 1 && p.shipped != nil && string(line[:eq]) == "__CURSOR" && p.shipped(e.Cursor) {
			p.w, p.left = io.Discard, true
		}
	}
	if err := p.write(line); err != nil {
		return err
	}
	for !whole { // a long value
		more, end, err := p.line()
		if err == io.EOF {
			return ErrCut
		}
		if err != nil {
			return err
		}
		if err := p.write(more); err != nil {
			return err
		}
		whole = end
	}
	return nil
}

// binary takes a field whose value follows its length.
func (p *parser) binary(line []byte, e *Entry) error {
	name := string(line[:len(line)-1])
	if len(name) > maxName || !plainName(line[:len(line)-1]) {
		return fmt.Errorf("read journal: %q is not a field", head(line))
	}
	if err := p.write(line); err != nil {
		return err
	}
	var size [8]byte
	if _, err := io.ReadFull(p.r, size[:]); err != nil {
		return cut(err)
	}
	if err := p.write(size[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint64(size[:])
	if n > 1<<40 {
		return fmt.Errorf("read journal: field %s has %d bytes", name, n)
	}
	if n <= maxValue && kept([]byte(name)) {
		value := make([]byte, n)
		if _, err := io.ReadFull(p.r, value); err != nil {
			return cut(err)
		}
		if err := p.write(value); err != nil {
			return err
		}
		if err := p.take(e, []byte(name), value); err != nil {
			return err
		}
	} else {
		copied, err := io.CopyN(p.w, p.r, int64(n))
		p.n += copied
		if err != nil {
			return cut(err)
		}
	}
	end, err := p.r.ReadByte()
	if err != nil {
		return cut(err)
	}
	if end != '\n' {
		return fmt.Errorf("read journal: field %s does not end where its length says", name)
	}
	return p.write([]byte{end})
}

func cut(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrCut
	}
	return err
}

func kept(name []byte) bool {
	switch string(name) {
	case "__CURSOR", "__REALTIME_TIMESTAMP", "_BOOT_ID":
		return true
	}
	return false
}

// take keeps what says where the entry stands.
func (p *parser) take(e *Entry, name, value []byte) error {
	if len(value) > maxValue {
		return fmt.Errorf("read journal: %s has %d bytes", name, len(value))
	}
	switch string(name) {
	case "__CURSOR":
		p.cursor = append(p.cursor[:0], value...)
		e.Cursor = p.cursor
	case "_BOOT_ID":
		p.boot = append(p.boot[:0], value...)
		e.Boot = p.boot
	case "__REALTIME_TIMESTAMP":
		us, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || us < 0 {
			return fmt.Errorf("read journal: %q is not a time", head(value))
		}
		e.Time = time.UnixMicro(us).UTC()
	}
	return nil
}

func plainName(b []byte) bool {
	for _, c := range b {
		if !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_') {
			return false
		}
	}
	return len(b) > 0
}

func head(b []byte) string {
	if len(b) > 40 {
		b = b[:40]
	}
	return string(b)
}
