package chunks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/object"
)

// How data is cut, compressed and protected. An unchanged disk is read and hashed, and no more: the hash is
// the fastest of kopia's, three to five times as fast as its default.
const (
	hash           = "BLAKE3-256-128"
	encryption     = "AES256-GCM-HMAC-SHA256"
	derivation     = "pbkdf2-sha256-600000" // scrypt takes 64 MiB, and a generated password needs none
	compressor     = "zstd-fastest"
	diskSplitter   = "FIXED-128K"
	streamSplitter = "DYNAMIC-128K-BUZHASH"
	diskSuffix     = ".raw"

	diskChunk = 128 << 10
	// manyZeros is from how many chunks of zeros on they are not written, but named: each run
	// costs a list of its own.
	manyZeros = 16
	// largest is how many chunks of zeros one name stands for, as a power of two: 1 GiB.
	largest = 13
)

// write writes an object.
func write(ctx context.Context, w repo.RepositoryWriter, name string, r io.Reader) (id object.ID, n int64, err error) {
	s := &sparse{ctx: ctx, w: w, o: object.WriterOptions{Description: "FILE:" + path.Base(name), Compressor: compressor,
		MetadataCompressor: compressor, Splitter: streamSplitter, AsyncWrites: 1}}
	defer func() {
		if cerr := s.end(); err == nil {
			err = cerr
		}
	}()
	if strings.HasSuffix(name, diskSuffix) {
		s.o.Splitter = diskSplitter
		n, err = s.disk(r)
	} else {
		s.begin()
		n, err = io.CopyBuffer(struct{ io.Writer }{s.data}, r, make([]byte, 256<<10))
	}
	if err != nil {
		return object.EmptyID, n, err
	}
	id, err = s.result()
	return id, n, err
}

// sparse writes a disk as parts that are joined in the end: data, and long runs of zeros, which
// cost nothing but their place in the list of chunks. What comes out is what kopia makes
// of the same bytes, chunk by chunk.
type sparse struct {
	ctx   context.Context
	w     repo.RepositoryWriter
	o     object.WriterOptions
	data  object.Writer // nil: no part is open
	parts []object.ID
	zeros []object.ID // of 1, 2, 4... chunks
}

func (s *sparse) begin() {
	if s.data == nil {
		s.data = s.w.NewObjectWriter(s.ctx, s.o)
	}
}

// end closes the part that is open.
func (s *sparse) end() error {
	if s.data == nil {
		return nil
	}
	o := s.data
	s.data = nil
	return o.Close()
}

// part ends the part that is open, and joins it to those before.
func (s *sparse) part() error {
	if s.data == nil {
		return nil
	}
	id, err := s.data.Result()
	if err == nil {
		s.parts = append(s.parts, id)
		err = s.end()
	}
	return err
}

// disk copies whole chunks, and the rest.
func (s *sparse) disk(r io.Reader) (n int64, err error) {
	nought := make([]byte, diskChunk)
	chunk := make([]byte, diskChunk)
	pending := int64(0) // chunks of zeros that are not written yet
	for {
		got, err := io.ReadFull(r, chunk)
		n += int64(got)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return n, err
		}
		if got == diskChunk && bytes.Equal(chunk, nought) {
			pending++
			continue
		}
		if perr := s.passZeros(pending, nought); perr != nil {
			return n, perr
		}
		pending = 0
		if got > 0 {
			s.begin()
			if _, werr := s.data.Write(chunk[:got]); werr != nil {
				return n, werr
			}
		}
		if err != nil { // the end
			return n, nil
		}
	}
}

// passZeros writes few chunks of zeros, and names many.
func (s *sparse) passZeros(chunks int64, nought []byte) error {
	if chunks < manyZeros {
		for range chunks {
			s.begin()
			if _, err := s.data.Write(nought); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.part(); err != nil {
		return err
	}
	for power := largest; power >= 0; power-- {
		for chunks >= 1<<power {
			id, err := s.run(power, nought)
			if err != nil {
				return err
			}
			s.parts = append(s.parts, id)
			chunks -= 1 << power
		}
	}
	return nil
}

// run returns the object of 2^power chunks of zeros.
func (s *sparse) run(power int, nought []byte) (object.ID, error) {
	for len(s.zeros) <= power {
		var id object.ID
		var err error
		if n := len(s.zeros); n > 0 {
			last := s.zeros[n-1]
			id, err = s.w.ConcatenateObjects(s.ctx, []object.ID{last, last}, repo.ConcatenateOptions{Compressor: compressor})
		} else {
			o := s.w.NewObjectWriter(s.ctx, s.o)
			if _, err = o.Write(nought); err == nil {
				id, err = o.Result()
			}
			err = errors.Join(err, o.Close())
		}
		if err != nil {
			return object.EmptyID, err
		}
		s.zeros = append(s.zeros, id)
	}
	return s.zeros[power], nil
}

// result joins the parts.
func (s *sparse) result() (object.ID, error) {
	if len(s.parts) == 0 {
		s.begin() // an empty file has an object, too
	}
	if err := s.part(); err != nil {
		return object.EmptyID, err
	}
	return s.w.ConcatenateObjects(s.ctx, s.parts, repo.ConcatenateOptions{Compressor: compressor})
}
