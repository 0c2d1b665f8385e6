package rear

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"io"
)

// What `openssl enc -aes-256-cbc -pbkdf2` writes (openssl-enc(1)): these eight
// bytes, eight of salt, then AES-256-CBC with the padding of PKCS #7. PBKDF2 with
// SHA-256 and 10000 rounds gives the key, and the vector after it.
const (
	salted = "Salted__"
	rounds = 10_000
)

// decrypted reads the clear bytes of r, which begins with salted. A wrong key shows
// as a padding that is none, or as what is not an archive.
func decrypted(r io.Reader, key []byte) (io.Reader, error) {
	head := make([]byte, 16)
	if _, err := io.ReadFull(r, head); err != nil {
		if err == io.ErrUnexpectedEOF {
			err = bad("it is cut")
		}
		return nil, err
	}
	both, err := pbkdf2.Key(sha256.New, string(key), head[8:], rounds, 48)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(both[:32])
	if err != nil {
		return nil, err
	}
	return &cbc{in: bufio.NewReaderSize(r, 64<<10), mode: cipher.NewCBCDecrypter(block, both[32:]), buf: make([]byte, 32<<10)}, nil
}

// cbc decrypts blocks; the last one is held until it is known to be the last.
type cbc struct {
	in   *bufio.Reader
	mode cipher.BlockMode
	buf  []byte
	out  []byte // clear, not read yet
	err  error
}

func (c *cbc) Read(p []byte) (int, error) {
	for len(c.out) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.fill()
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

func (c *cbc) fill() {
	n, err := io.ReadFull(c.in, c.buf)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		c.err = err
		return
	}
	if n == 0 || n%aes.BlockSize != 0 {
		c.err = bad("it is cut: what is encrypted is not a whole number of cipher blocks")
		return
	}
	c.mode.CryptBlocks(c.buf[:n], c.buf[:n])
	c.out = c.buf[:n]
	switch _, err := c.in.Peek(1); {
	case err == io.EOF:
		c.err = io.EOF
	case err != nil:
		c.out, c.err = nil, err
		return
	default:
		return
	}
	padding := int(c.buf[n-1])
	if padding < 1 || padding > aes.BlockSize {
		c.out, c.err = nil, bad("the key does not open it, or its end is damaged")
		return
	}
	for _, b := range c.buf[n-padding : n] {
		if int(b) != padding {
			c.out, c.err = nil, bad("the key does not open it, or its end is damaged")
			return
		}
	}
	c.out = c.buf[:n-padding]
}
