package disk

import "io"

// secret is a passphrase on its way to a program: what was read of it is cleared.
type secret struct{ left []byte }

func newSecret(b []byte) io.Reader { return &secret{append([]byte(nil), b...)} }

func (s *secret) Read(p []byte) (int, error) {
	if len(s.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.left)
	clear(s.left[:n])
	s.left = s.left[n:]
	return n, nil
}
