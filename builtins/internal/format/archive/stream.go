package archive

import (
	"bufio"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// source reads the file. It ends with its context and remembers an error of the
// reader below, so that a bad medium is not taken for a bad archive.
type source struct {
	ctx  context.Context
	name string
	r    io.Reader
	n    int64
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.err = s.ctx.Err(); s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err != nil && err != io.EOF {
		s.err = fmt.Errorf("read %s at byte %d: %w", s.name, s.n, err)
		err = s.err
	}
	return n, err
}

// stream is the clear contents of an archive. Its errors are final: those of
// the source, of the context, or an *Error.
type stream struct {
	ctx    context.Context
	name   string
	format format
	source *source
	frames *frames       // for zstd
	packed *bufio.Reader // for bzip2
	r      io.Reader
	close  func()
	n      int64
	inTree bool  // a tar's entries have come to the guest's tree
	next   error // what comes behind the bytes returned last
	err    error // what the last Read returned; io.EOF at the end
}

// open finds out what the file is and starts to unpack it.
func open(ctx context.Context, name string, r io.Reader) (*stream, error) {
	f, err := formatOf(name)
	if err != nil {
		return nil, err
	}
	s := &stream{ctx: ctx, name: name, format: f, source: &source{ctx: ctx, name: name, r: r}, close: func() {}}
	switch f.compression {
	case unpacked:
		s.r = s.source
		if f.container == tarContainer { // which is read in blocks of 512 bytes
			s.r = bufio.NewReaderSize(s.source, inputBuffer)
		}
	case gzipPacked:
		err = s.openGzip()
	case zstdPacked:
		err = s.openZstd()
	case bz2Packed:
		s.packed = bufio.NewReaderSize(s.source, inputBuffer)
		s.r = bzip2.NewReader(s.packed)
	default:
		err = unsupportedf(name, "runner does not unpack lzo: unpack it with lzop -d, and open what comes out")
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *stream) openGzip() error {
	m, err := newMembers(bufio.NewReaderSize(s.source, inputBuffer))
	if err != nil {
		return s.fault(err)
	}
	s.r = m
	return nil
}

func (s *stream) openZstd() error {
	s.frames = newFrames(s.name, s.source)
	z, err := zstd.NewReader(s.frames, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
	if err != nil {
		return s.fault(err)
	}
	s.r, s.close = z, z.Close
	return nil
}

// Read never returns bytes together with an error, so that s.err says what the
// reader above has seen.
func (s *stream) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.err = s.ctx.Err(); s.err != nil {
		return 0, s.err
	}
	if s.err = s.next; s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.n += int64(n)
	switch {
	case err == io.EOF:
		s.next = s.end()
	case err != nil:
		s.next = s.fault(err)
	}
	if n == 0 {
		s.err = s.next
	}
	return n, s.err
}

// end holds that the decoder has used the file up when it says so.
func (s *stream) end() error {
	if s.frames != nil && !s.frames.finished() {
		if _, err := s.frames.Read(make([]byte, 1)); err != io.EOF {
			return s.fault(errors.New("data follows the last zstd frame"))
		}
	}
	if s.packed != nil {
		if _, err := s.packed.Peek(1); err != io.EOF {
			return s.fault(errors.New("data follows the last bzip2 stream"))
		}
	}
	return io.EOF
}

// fault says who is to blame for an error of the decoder.
func (s *stream) fault(err error) error {
	if s.source.err != nil {
		return s.source.err
	}
	if s.frames != nil && s.frames.err != nil && s.frames.err != io.EOF {
		return s.frames.err
	}
	return &Error{Name: s.name, What: fmt.Sprintf("cannot unpack behind byte %d of its contents", s.n), Err: err}
}

// broken returns the error that ended the stream before its end, or nil.
func (s *stream) broken() error {
	if s.err == io.EOF {
		return nil
	}
	return s.err
}
