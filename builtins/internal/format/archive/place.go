package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

const (
	modeBits        = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	holeSize        = 4096
	maxSkipped      = 50_000 // lines, and
	maxSkippedBytes = 16 << 20
	maxNodes        = 1 << 16
	// maxHeldBytes bounds what a directory holds back until it is left.
	maxHeldBytes = 64 << 10
)

// splitPath splits a clean path into the components of its parent and its last.
func splitPath(p string) (parent []string, base string) {
	parts := strings.Split(p, "/")
	return parts[:len(parts)-1], parts[len(parts)-1]
}

// fresh calls create for a name that may be taken: an archive may hold an entry
// twice, and the later one counts. What is there is removed, never followed; a
// directory only when it is empty.
func (t *tree) fresh(base string, create func() error) error {
	err := create()
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := t.top().root.Remove(base); err != nil {
		return err
	}
	return create()
}

func (t *tree) dir(e entry, base string) error {
	at := t.top().root
	if fi, err := at.Lstat(base); err != nil || !fi.IsDir() {
		if err := t.fresh(base, func() error { return at.Mkdir(base, 0o700) }); err != nil {
			return err
		}
	} else if !t.isRoot {
		if err := at.Chmod(base, 0o700); err != nil {
			return err
		}
	}
	root, err := at.OpenRoot(base)
	if err != nil {
		return err
	}
	l := &level{name: base, root: root}
	t.levels = append(t.levels, l)
	return t.dress(l, e)
}

// dress gives a directory its owner now; mode, attributes and times wait until
// it is left.
func (t *tree) dress(l *level, e entry) error {
	l.mode, l.atime, l.mtime, l.setMode = closedMode(e), accessTime(e), e.ModTime, true
	if hasAttributes(e) {
		if n := recordBytes(e); n > maxHeldBytes {
			t.skip(e.Name, fmt.Sprintf("its attributes have %d bytes, more than %d", n, maxHeldBytes))
		} else {
			l.entry = &e
		}
	}
	return t.own(e, func(uid, gid int) error { return l.root.Chown(".", uid, gid) })
}

// accessTime is the entry's, which only some archives have. The zero time
// leaves the file's own.
func accessTime(e entry) time.Time { return e.AccessTime }

func (t *tree) own(e entry, chown func(uid, gid int) error) error {
	if !t.isRoot {
		if !t.noOwner {
			t.noOwner = true
			t.skip("./", "owners are not restored without root: all entries belong to who extracts them")
		}
		return nil
	}
	return chown(e.Uid, e.Gid)
}

func (t *tree) file(e entry, base string, r io.Reader) (err error) {
	if t.bytes += e.Size; t.bytes < 0 || t.bytes > t.opts.MaxBytes {
		return fmt.Errorf("with its %d bytes the files exceed the limit of %d", e.Size, t.opts.MaxBytes)
	}
	at := t.top().root
	var f *os.File
	err = t.fresh(base, func() (err error) {
		f, err = at.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	if err = t.fill(f, r, e.Size); err == nil {
		err = t.own(e, f.Chown)
	}
	if err == nil { // chown takes setuid and capabilities away: they come after it
		err = f.Chmod(closedMode(e)) // an ACL that is set widens it to its mask
	}
	if err == nil {
		t.attributes(e, f)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return at.Chtimes(base, accessTime(e), e.ModTime)
}

// fill copies the data, leaving a hole for every zero block.
func (t *tree) fill(f *os.File, r io.Reader, size int64) error {
	for at := int64(0); at < size; {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(r, t.buf[:min(int64(len(t.buf)), size-at)])
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		if err := writeRuns(f, t.buf[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	if size == 0 {
		return nil
	}
	return f.Truncate(size)
}

// writeRuns writes what is not zero; b starts at a block of the file.
func writeRuns(f io.WriterAt, b []byte, at int64) error {
	start := 0
	flush := func(end int) error {
		if start == end {
			return nil
		}
		_, err := f.WriteAt(b[start:end], at+int64(start))
		return err
	}
	for i := 0; i < len(b); i += holeSize {
		end := min(i+holeSize, len(b))
		if !isZero(b[i:end]) {
			continue
		}
		if err := flush(i); err != nil {
			return err
		}
		start = end
	}
	return flush(len(b))
}
