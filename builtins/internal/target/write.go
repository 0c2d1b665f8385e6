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

	"github.com/neosofia/runner/runtime/ledger"
)

// write stores all files in the folder for parts.
func (j *job) write(ctx context.Context, f *feed) error {
	for _, file := range j.src.Artifact.Files {
		if report := j.t.env.Progress; report != nil {
			var done int64
			f.step = func(n int) {
				done += int64(n)
				report(j.t.spec.Name, file.Name, done, file.Size)
			}
		}
		if err := j.writeFile(ctx, f, file); err != nil {
			return err
		}
		f.next()
	}
	return nil
}

// writeFile stores a file, as one or in parts. Of a file of unknown size it is
// not known whether it will need parts, so it is cut in any case.
func (j *job) writeFile(ctx context.Context, f *feed, file ledger.File) error {
	per := j.t.clearPart()
	if per == 0 || file.Size >= 0 && file.Size <= per {
		return j.writePart(ctx, f, ledger.StoredFile{Of: file.Name}, 0, file.Size, -1)
	}
	width := 6
	if file.Size >= 0 {
		width = max(3, len(strconv.FormatInt((file.Size+per-1)/per, 10)))
	}
	left := file.Size
	for i := 1; ; i++ {
		want := int64(-1)
		if file.Size >= 0 {
			want = min(left, per)
			left -= want
		}
		if err := j.writePart(ctx, f, ledger.StoredFile{Of: file.Name, Part: i}, width, want, per); err != nil {
			return err
		}
		if _, err := f.peek(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// writePart stores the next bytes of the current file: at most most of them
// (-1: all), and want when that is known (-1: not).
func (j *job) writePart(ctx context.Context, f *feed, s ledger.StoredFile, width int, want, most int64) error {
	s.Sealed = len(j.t.seals) > 0
	s.Name = storedName(s.Of, s.Part, width, s.Sealed)
	f.sum = nil
	if s.Part > 0 || s.Sealed {
		f.sum = sha256.New()
	}
	store := j.writePlain
	if s.Sealed {
		store = j.writeSealed
	}
	if err := store(ctx, f, &s, want, most); err != nil {
		return err
	}
	j.files = append(j.files, s)
	return nil
}

// writePlain stores bytes as they are. The digest of a whole file is the
// source's; only parts need one of their own.
func (j *job) writePlain(ctx context.Context, f *feed, s *ledger.StoredFile, want, most int64) error {
	name := path.Join(j.parts, s.Name)
	p := &part{f: f, left: most}
	same, err := j.match(ctx, p, name)
	if err != nil {
		return err
	}
	n, err := j.t.store.Put(ctx, name, same, want, j.t.limit.wrap(ctx, p))
	j.resumed += same
	j.sent += n
	if err != nil {
		return err
	}
	s.Size = same + n
	if f.sum != nil {
		s.SHA256 = hex.EncodeToString(f.sum.Sum(nil))
	}
	return nil
}

// match consumes the bytes that an earlier transfer left already and returns
// their number. They are read from the medium, so what is lost there is sent again.
func (j *job) match(ctx context.Context, p *part, name string) (same int64, err error) {
	info, err := j.t.store.Stat(ctx, name)
	if code(err) == CodeNotFound {
		return 0, nil
	}
	if err != nil || info.Size == 0 {
		return 0, err
	}
	there, err := j.t.store.Get(ctx, name, 0, -1)
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
func (j *job) writeSealed(ctx context.Context, f *feed, s *ledger.StoredFile, want, most int64) error {
	p := &part{f: f, left: most}
	if done, ok, err := j.finished(ctx, s.Name); err != nil {
		return err
	} else if ok {
		if _, err := p.WriteTo(io.Discard); err != nil {
			return err
		}
		if hex.EncodeToString(f.sum.Sum(nil)) != done.Clear {
			return errRestart
		}
		s.Size, s.SHA256 = done.Size, done.SHA256
		j.resumed += s.Size
		return nil
	}
	sealed, err := age.EncryptReader(struct{ io.Reader }{p}, j.t.seals...)
	if err != nil {
		return badTarget(j.t.spec.Name, "seal for its recipients: %v", err)
	}
	summed := newSummed(sealed)
	size := int64(-1)
	if want >= 0 {
		size = j.t.sealedSize(want)
	}
	n, err := j.putStaged(ctx, path.Join(j.parts, s.Name), size, summed)
	j.sent += n
	if err != nil {
		return err
	}
	s.Size, s.SHA256 = summed.n, summed.hex()
	return j.finish(ctx, *s, hex.EncodeToString(f.sum.Sum(nil)))
}

func (j *job) putStaged(ctx context.Context, name string, size int64, r io.Reader) (int64, error) {
	if j.t.caps.Stages {
		s := newStage(r)
		defer s.Close()
		r = s
	}
	return j.t.store.Put(ctx, name, 0, size, j.t.limit.wrap(ctx, r))
}
