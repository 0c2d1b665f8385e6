package vma

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// ErrSpoolFull means that more of an archive is out of order than the spool takes.
var ErrSpoolFull = errors.New("more of the archive is out of order than the spool takes")

// Spool holds clusters that came before their turn, in a file that has no name and is
// encrypted with a key that is nowhere else: what a guest's disk holds must not stay in the free
// space of another disk. It is made when it is first needed.
type Spool struct {
	dir   string
	limit int64 // places

	file  *os.File
	seal  cipher.AEAD
	free  []int64  // places that were taken from again
	count []uint64 // the nonce of each place
	used  uint64   // nonces
	buf   []byte
}

// NewSpool makes a spool of so many bytes in a folder.
func NewSpool(dir string, limit int64) *Spool { return &Spool{dir: dir, limit: limit / clusterSize} }

// Close gives the file's space back.
func (s *Spool) Close() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return f.Close()
}

func (s *Spool) open() error {
	f, err := os.CreateTemp(s.dir, ".runner-spool-")
	if err != nil {
		return fmt.Errorf("make spool: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return fmt.Errorf("make spool: %w", errors.Join(err, f.Close()))
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	block, err := aes.NewCipher(key)
	if err == nil {
		s.seal, err = cipher.NewGCM(block)
	}
	if err != nil {
		return fmt.Errorf("make spool: %w", errors.Join(err, f.Close()))
	}
	s.file = f
	return nil
}

// nonce is never used twice with the spool's key.
func nonce(n uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 4, 12), n) }

func (s *Spool) put(cluster []byte) (place int64, err error) {
	if s.file == nil {
		if err := s.open(); err != nil {
			return 0, err
		}
	}
	if n := len(s.free); n > 0 {
		place, s.free = s.free[n-1], s.free[:n-1]
	} else {
		place = int64(len(s.count))
		if place >= s.limit {
			return 0, fmt.Errorf("%w (%d bytes)", ErrSpoolFull, s.limit*clusterSize)
		}
		s.count = append(s.count, 0)
	}
	s.used++
	s.count[place] = s.used
	s.buf = s.seal.Seal(s.buf[:0], nonce(s.used), cluster, nil)
	if _, err := s.file.WriteAt(s.buf, place*int64(len(s.buf))); err != nil {
		return 0, fmt.Errorf("write spool: %w", err)
	}
	return place, nil
}

func (s *Spool) take(place int64, cluster []byte) error {
	s.buf = append(s.buf[:0], make([]byte, clusterSize+s.seal.Overhead())...)
	if _, err := s.file.ReadAt(s.buf, place*int64(len(s.buf))); err != nil {
		return fmt.Errorf("read spool: %w", err)
	}
	if _, err := s.seal.Open(cluster[:0], nonce(s.count[place]), s.buf, nil); err != nil {
		return fmt.Errorf("read spool: %w", err)
	}
	s.free = append(s.free, place)
	return nil
}
