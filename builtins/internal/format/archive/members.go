package archive

import (
	"bufio"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
)

// members reads the members of a gzip file, and zeros behind the last one: tapes and
// devices leave such, and gzip itself takes them for padding.
type members struct {
	in *bufio.Reader
	z  *gzip.Reader
}

func newMembers(in *bufio.Reader) (*members, error) {
	z, err := gzip.NewReader(in)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &members{in, z}, nil
}

// Read implements io.Reader.
func (m *members) Read(p []byte) (int, error) {
	for {
		n, err := m.z.Read(p)
		if n > 0 || err != io.EOF {
			if err == io.EOF {
				err = nil
			}
			return n, err
		}
		if more, err := m.more(); !more {
			return 0, err
		}
		if err := m.z.Reset(m.in); err != nil {
			return 0, err
		}
		m.z.Multistream(false)
	}
}

// more passes zeros over; io.EOF is the end of the file.
func (m *members) more() (bool, error) {
	padded := false
	for {
		b, err := m.in.ReadByte()
		switch {
		case err != nil:
			return false, err
		case b == 0:
			padded = true
		case padded:
			return false, errors.New("data follows the zeros behind the last gzip member")
		default:
			return true, m.in.UnreadByte()
		}
	}
}
