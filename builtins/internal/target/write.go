package target

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"path"
	"strconv"

	"filippo.io/age"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// writer stores the files of a pass in the folder for parts.
type writer struct {
	*job
	p    *pass
	ctx  context.Context
	f    *feed
	file int // index of the current one
}

func (j *job) write(p *pass, f *feed) error {
	w := &writer{job: j, p: p, ctx: p.ctx, f: f}
	for i, file := range j.src.Artifact.Files {
		w.file = i
		if report := j.t.env.Progress; report != nil {
			var done int64
			f.step = func(n int) {
				done += int64(n)
				report(j.t.spec.Name, file.Name, done, file.Size)
			}
		}
		if err := w.writeFile(file); err != nil {
			return err
		}
		f.next()
	}
	return nil
}

// writeFile stores a file, as one or in parts. Of a file of unknown size it is
// not known whether it will need parts, so it is cut in any case.
func (w *writer) writeFile(file ledger.File) error {
	if err := w.t.inWindow(); err != nil {
		return err
	}
	if w.decodes(file.Name) {
		return w.writeDecoded(file)
	}
	per := w.t.clearPart()
	if w.t.caps.Sized && file.Size < 0 && (per == 0 || per > readAhead) {
		per = readAhead
	}
	if per == 0 || file.Size >= 0 && file.Size <= per {
		return w.writePart(ledger.StoredFile{Of: file.Name}, 0, file.Size, -1)
	}
	width := 6
	if file.Size >= 0 {
		width = max(3, len(strconv.FormatInt((file.Size+per-1)/per, 10)))
	}
	left := file.Size
	for i := 1; ; i++ {
		if err := w.t.inWindow(); err != nil { // what was sent stays: the next window goes on here
			return err
		}
		want := int64(-1)
		if file.Size >= 0 {
			want = min(left, per)
			left -= want
		}
		if err := w.writePart(ledger.StoredFile{Of: file.Name, Part: i}, width, want, per); err != nil {
			return err
		}
		if _, err := w.f.peek(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// writePart stores the next bytes of the current file: at most most of them
// (-1: all), and want when that is known (-1: not).
func (w *writer) writePart(s ledger.StoredFile, width int, want, most int64) error {
	s.Sealed = len(w.t.seals) > 0
	s.Name = storedName(s.Of, s.Part, width, s.Sealed)
	w.f.sum = nil
	if s.Part > 0 {
		w.f.sum = sha256.New()
	}
	store := w.writePlain
	if s.Sealed {
		store = w.writeSealed
	}
	src := source(&part{f: w.f, left: most})
	if w.t.caps.Sized && want < 0 {
		b, err := io.ReadAll(src)
		if err != nil {
			return err
		}
		src, want = bytes.NewReader(b), int64(len(b))
	}
	if err := store(&s, src, want); err != nil {
		return err
	}
	w.files = append(w.files, s)
	return nil
}

// readAhead is the part of a file of unknown size, where a store wants to know it: it
// is held in memory.
const readAhead = 16 << 20

// source is the bytes of one stored file, in clear.
type source interface {
	io.Reader
	io.WriterTo
}

// clear returns the digest of the clear bytes that were just consumed: a whole
// file's is taken for all targets at once.
func (w *writer) clear() (string, error) {
	if w.f.sum == nil {
		return w.p.sum(w.file)
	}
	return hex.EncodeToString(w.f.sum.Sum(nil)), nil
}

// writePlain stores bytes as they are.
func (w *writer) writePlain(s *ledger.StoredFile, src source, want int64) error {
	name := path.Join(w.parts, s.Name)
	p, streams := src.(*part)
	if !w.t.caps.Append || !streams {
		return w.writeWhole(src, s, want)
	}
	same, err := w.match(p, name)
	if err != nil {
		return err
	}
	n, err := w.t.store.Put(w.ctx, name, same, want, w.t.limit.wrap(w.ctx, p))
	w.resumed += same
	w.sent += n
	if err != nil {
		return err
	}
	s.Size = same + n
	s.SHA256, err = w.clear()
	return err
}

// writeWhole stores bytes as they are, unless an earlier transfer finished them.
func (w *writer) writeWhole(src source, s *ledger.StoredFile, want int64) error {
	if done, ok, err := w.finished(w.ctx, s.Name); err != nil {
		return err
	} else if ok {
		return w.skip(src, s, done)
	}
	n, err := w.t.store.Put(w.ctx, path.Join(w.parts, s.Name), 0, want, w.t.limit.wrap(w.ctx, src))
	w.sent += n
	if err != nil {
		return err
	}
	s.Size = n
	if s.SHA256, err = w.clear(); err != nil {
		return err
	}
	return w.done(s, s.SHA256)
}

// match consumes the bytes that an earlier transfer left already and returns
// their number. They are read from the medium, so what is lost there is sent again.
func (w *writer) match(p *part, name string) (same int64, err error) {
	info, err := w.t.store.Stat(w.ctx, name)
	if failure.Is(err, CodeNotFound) {
		return 0, nil
	}
	if err != nil || info.Size == 0 {
		return 0, err
	}
	there, err := w.t.store.Get(w.ctx, name, 0, -1)
	if err != nil {
		return 0, err
	}
	defer there.Close()
	buf := make([]byte, 256<<10)
	for {
		have, err := p.take()
		if err == io.EOF {
			return same, nil
		}
		if err != nil {
			return same, err
		}
		n, err := io.ReadFull(there, buf[:min(len(buf), len(have))])
		equal := prefix(buf[:n], have)
		p.used(equal)
		same += int64(equal)
		if err == io.EOF || err == io.ErrUnexpectedEOF || err == nil && equal < n {
			return same, nil
		}
		if err != nil {
			return same, err
		}
	}
}

// prefix returns how many bytes at the beginning of a and b are equal.
func prefix(a, b []byte) int {
	n := min(len(a), len(b))
	if bytes.Equal(a[:n], b[:n]) {
		return n
	}
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// writeSealed stores bytes as an age file, unless an earlier transfer finished it.
func (w *writer) writeSealed(s *ledger.StoredFile, src source, want int64) error {
	done, ok, err := w.finished(w.ctx, s.Name)
	if err != nil {
		return err
	}
	if ok {
		return w.skip(src, s, done)
	}
	sealed, err := age.EncryptReader(struct{ io.Reader }{src}, w.t.seals...)
	if err != nil {
		return badTarget(w.t.spec.Name, "seal for its recipients: %v", err)
	}
	summed := newSummed(sealed)
	size := int64(-1)
	if want >= 0 {
		size = w.t.sealedSize(want)
	}
	n, err := w.putStaged(path.Join(w.parts, s.Name), size, summed)
	w.sent += n
	if err != nil {
		return err
	}
	s.Size, s.SHA256 = summed.n, summed.hex()
	clear, err := w.clear()
	if err != nil {
		return err
	}
	return w.done(s, clear)
}

// done learns what the store itself says of a file that is complete, and writes that
// down.
func (w *writer) done(s *ledger.StoredFile, clear string) (err error) {
	if digest := w.t.caps.Digest; digest != nil {
		if s.Native, err = digest(w.ctx, path.Join(w.parts, s.Name)); err != nil {
			return err
		}
	}
	return w.finish(w.ctx, *s, clear)
}

// skip consumes what is stored already, if the source still has the same bytes.
func (w *writer) skip(src source, s *ledger.StoredFile, done finished) error {
	if _, err := src.WriteTo(io.Discard); err != nil {
		return err
	}
	clear, err := w.clear()
	if err != nil {
		return err
	}
	if clear != done.Clear {
		return errRestart
	}
	s.Size, s.SHA256, s.Native = done.Size, done.SHA256, done.Native
	w.resumed += s.Size
	return nil
}

func (w *writer) putStaged(name string, size int64, r io.Reader) (int64, error) {
	if w.t.caps.Stages {
		s := newStage(r)
		defer s.Close()
		r = s
	}
	return w.t.store.Put(w.ctx, name, 0, size, w.t.limit.wrap(w.ctx, r))
}
