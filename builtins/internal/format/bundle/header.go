package bundle

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Sealed is what an age file tells to who cannot open it.
type Sealed struct {
	Stanzas []string // kinds of its recipients, in order
	Payload int64    // bytes behind the header
	Size    int64    // bytes of all of it
}

// Of counts the recipients of a class.
func (s Sealed) Of(class string) (n int) {
	for _, x := range s.Stanzas {
		if x == stanza[class] {
			n++
		}
	}
	return n
}

const (
	maxStanzas = 1 << 10
	chunk      = 64 << 10
	tag        = 16
)

// ReadSealed reads an age file to its end and checks the form of all that is not
// encrypted: header, recipients, and a payload whose length is possible.
func ReadSealed(r io.Reader) (Sealed, error) {
	var s Sealed
	in := bufio.NewReaderSize(r, 4<<10)
	read := 0
	line := func() (string, error) {
		raw, err := in.ReadSlice('\n')
		if read += len(raw); err == bufio.ErrBufferFull || read > maxHeader {
			return "", errors.New("its header is too long")
		}
		if err == io.EOF {
			return "", io.ErrUnexpectedEOF
		}
		return strings.TrimSuffix(string(raw), "\n"), err
	}
	text, err := line()
	if err == nil && text != "age-encryption.org/v1" {
		err = errors.New("not an age file")
	}
	for err == nil {
		if text, err = line(); err != nil {
			break
		}
		if kind, is := strings.CutPrefix(text, "-> "); is {
			kind, _, _ = strings.Cut(kind, " ")
			if s.Stanzas = append(s.Stanzas, kind); len(s.Stanzas) > maxStanzas || kind == "" {
				err = errors.New("its recipients are too many, or have no kind")
			}
			continue
		}
		if mac, end := strings.CutPrefix(text, "--- "); end {
			if len(mac) != 43 {
				err = errors.New("its header ends without a MAC")
			}
			break
		}
		if len(s.Stanzas) == 0 || len(text) > 64 {
			err = errors.New("its header is malformed")
		}
	}
	if err == nil && len(s.Stanzas) == 0 {
		err = errors.New("it has no recipient")
	}
	if err == nil {
		s.Payload, err = io.Copy(io.Discard, in)
		s.Size = int64(read) + s.Payload
	}
	if err == nil && !possible(s.Payload) {
		err = fmt.Errorf("its payload has %d bytes, which no age file has: it was cut", s.Payload)
	}
	if err != nil {
		return s, fmt.Errorf("read an age file: %w", err)
	}
	return s, nil
}

// possible: a nonce, then chunks with a tag each, of which only one that is alone
// may be empty.
func possible(n int64) bool {
	n -= tag
	rest := n % (chunk + tag)
	return n >= tag && (rest == 0 || rest > tag || n == tag)
}
