package rear

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// archive reads the backup to its end, and an encrypted one as far as the key that
// is at hand allows.
func (i *Inspector) archive(ctx context.Context, name string, r io.Reader) error {
	in := bufio.NewReaderSize(&stop{ctx, r}, 256<<10)
	head, err := in.Peek(8)
	if err != nil {
		return firstOf(in, bad("it is cut"))
	}
	clear := io.Reader(in)
	switch encrypted := string(head) == salted; {
	case encrypted && !i.Plan.Encrypted:
		return bad("it is encrypted, and the plan knows of no key")
	case !encrypted && i.Plan.Encrypted:
		return bad("it is not encrypted, though it should be")
	case encrypted && len(i.Key) == 0:
		i.unopened = append(i.unopened, name)
		return blocks(in)
	case encrypted:
		if clear, err = decrypted(in, i.Key); err != nil {
			return err
		}
	}
	return i.members(clear)
}

// blocks reads an encrypted archive without its key: no more than its length can
// be held to anything.
func blocks(in io.Reader) error {
	n, err := io.Copy(io.Discard, in)
	if err == nil && (n < 32 || n%16 != 0) {
		return bad("it is cut: %d bytes are not a whole number of cipher blocks", n)
	}
	return err
}

// members reads the clear archive to its end: every entry, the checksum, the
// trailer.
func (i *Inspector) members(in io.Reader) error {
	z, err := gzip.NewReader(in)
	if err != nil {
		return unpacked(err)
	}
	defer z.Close()
	clear := bufio.NewReaderSize(z, 256<<10)
	t := tar.NewReader(clear)
	for n := int64(0); ; n++ {
		h, err := t.Next()
		if err == io.EOF {
			if n == 0 {
				return bad("it is empty")
			}
			break
		}
		if err != nil {
			return unpacked(err)
		}
		i.Entries++
		if s := i.secret(h.Name); s != "" && !(h.FileInfo().Mode()&fs.ModeDir != 0) {
			return bad("it holds %s, which is secret", s)
		}
		if h.Typeflag == tar.TypeReg && h.Size <= maxLooked {
			text, err := io.ReadAll(t)
			if err != nil {
				return unpacked(err)
			}
			if bytes.Contains(text, []byte(identity+"1")) && looksLikeIdentity(text) {
				return bad("%s inside it holds an identity of age: keep that elsewhere, or leave it out with exclude", h.Name)
			}
		}
	}
	if _, err := io.Copy(io.Discard, clear); err != nil {
		return unpacked(err)
	}
	return nil
}

// looksLikeIdentity tells a key from a program or text that speaks of keys.
func looksLikeIdentity(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); bytes.HasPrefix(line, []byte(identity)) && len(line) >= 70 && !bytes.ContainsAny(line, " \"'`") {
			return true
		}
	}
	return false
}

// stop ends reading with ctx.
type stop struct {
	ctx context.Context
	r   io.Reader
}

func (s *stop) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(p)
}

func firstOf(in *bufio.Reader, other error) error {
	if _, err := in.ReadByte(); err != nil && err != io.EOF {
		return err
	}
	return other
}

// unpacked tells damage of an archive from an error of its source.
func unpacked(err error) error {
	var own *ImageError
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return bad("it is cut")
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.Is(err, tar.ErrHeader),
		strings.HasPrefix(err.Error(), "flate"), strings.HasPrefix(err.Error(), "archive/tar"):
		return bad("it is damaged: %v", err)
	}
	return err
}
