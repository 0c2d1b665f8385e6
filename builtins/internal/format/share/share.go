// Package share splits a secret among custodians: any M of N shares give it back,
// and fewer tell nothing about it (A. Shamir, How to Share a Secret, 1979).
//
// Every byte of the secret is the constant term of a random polynomial of degree
// M-1 over GF(2^8) with the polynomial of AES, x^8 + x^4 + x^3 + x + 1; a share is
// the values of all of them at one x. The x of the shares are distinct, random and
// never 0. Multiplication and inversion have neither tables nor branches that
// depend on secret bytes.
//
// There is no library to take: Vault's is under BUSL-1.1, OpenBao's lies in a
// module of hundreds, codahale/sss and its descendants are not kept up. Python's
// combine in this package (see Recipe) is a second implementation, and tests hold
// the two against each other.
//
// What is split is the text of an age identity, so that what comes out goes
// straight to age. A share is one line of text:
//
//	runner-share1-<set, 16 hex>-<M>-<N>-<x>-<y in hex>-<8 hex of SHA-256 of all before>
//
// Its checksum finds slips of a pen. Who changes a share on purpose makes a new
// checksum, and plain Shamir cannot say which share is false: the commitment,
// SHA-256 of the line, does. It is kept beside the copies and in the ledger.
package share

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Limits of a split.
const (
	MaxShares = 255
	MaxSecret = 1024 // bytes
)

// prefix begins every share, with the version of the format.
const prefix = "runner-share1"

// Share is what one custodian keeps.
type Share struct {
	Set  string // 16 hex digits: which split it belongs to
	M, N int    // so many of so many give the secret back
	X    byte   // never 0
	Y    []byte // as long as the secret
}

// Split makes n shares, m of which give the secret back. Random bytes come from
// random, crypto/rand.Reader where it is nil.
func Split(secret []byte, set string, m, n int, random io.Reader) ([]Share, error) {
	switch {
	case m < 2:
		return nil, fmt.Errorf("split a secret: %d shares to give it back: want at least 2, else each custodian alone has it", m)
	case n < m || n > MaxShares:
		return nil, fmt.Errorf("split a secret: %d of %d shares: want at most %d, and not fewer than are needed", m, n, MaxShares)
	case len(secret) == 0 || len(secret) > MaxSecret:
		return nil, fmt.Errorf("split a secret: it has %d bytes, want 1 to %d", len(secret), MaxSecret)
	case !isSet(set):
		return nil, fmt.Errorf("split a secret: %q is not a name of a set: want 16 hex digits", set)
	}
	if random == nil {
		random = rand.Reader
	}
	out := make([]Share, n)
	xs, err := points(n, random)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i] = Share{Set: set, M: m, N: n, X: xs[i], Y: make([]byte, len(secret))}
	}
	poly := make([]byte, m)
	defer clear(poly)
	for k, b := range secret {
		if _, err := io.ReadFull(random, poly[1:]); err != nil {
			return nil, fmt.Errorf("split a secret: %w", err)
		}
		poly[0] = b
		for i := range out {
			out[i].Y[k] = eval(poly, out[i].X)
		}
	}
	return out, nil
}

// points draws n distinct x, none of them 0.
func points(n int, random io.Reader) ([]byte, error) {
	all := make([]byte, MaxShares)
	for i := range all {
		all[i] = byte(i + 1)
	}
	var two [2]byte
	for i := range n { // Fisher and Yates: the rest has 255-i, each of them as likely
		for {
			if _, err := io.ReadFull(random, two[:]); err != nil {
				return nil, fmt.Errorf("split a secret: %w", err)
			}
			rest := MaxShares - i
			v := int(two[0])<<8 | int(two[1])
			if v < 1<<16/rest*rest {
				j := i + v%rest
				all[i], all[j] = all[j], all[i]
				break
			}
		}
	}
	return all[:n], nil
}

// Combine gives the secret back. Shares beyond M have to agree with the first M.
// The caller clears the secret after use.
func Combine(shares []Share) ([]byte, error) {
	if len(shares) == 0 {
		return nil, errors.New("combine shares: no shares given")
	}
	first := shares[0]
	seen := map[byte]bool{}
	for _, s := range shares {
		switch {
		case s.Set != first.Set:
			return nil, fmt.Errorf("combine shares: they are of different sets, %s and %s", first.Set, s.Set)
		case s.M != first.M || s.N != first.N || len(s.Y) != len(first.Y) || s.X == 0 || len(s.Y) == 0:
			return nil, errors.New("combine shares: they do not belong together")
		case seen[s.X]:
			return nil, fmt.Errorf("combine shares: share %d is there twice", s.X)
		}
		seen[s.X] = true
	}
	if first.M < 2 || len(shares) < first.M {
		return nil, &FewError{Have: len(shares), Need: first.M}
	}
	used := shares[:first.M]
	for _, extra := range shares[first.M:] {
		if at := interpolate(used, extra.X); subtle.ConstantTimeCompare(at, extra.Y) != 1 {
			return nil, fmt.Errorf("combine shares: share %d does not agree with the others: one of them is false", extra.X)
		}
	}
	return interpolate(used, 0), nil
}

// FewError says that shares are missing.
type FewError struct{ Have, Need int }

func (e *FewError) Error() string {
	return fmt.Sprintf("combine shares: there are %d, and %d are needed", e.Have, e.Need)
}

// interpolate gives the values at x of the polynomials through the shares.
func interpolate(shares []Share, x byte) []byte {
	out := make([]byte, len(shares[0].Y))
	for i, s := range shares {
		num, den := byte(1), byte(1)
		for j, o := range shares {
			if i != j {
				num = mul(num, x^o.X)
				den = mul(den, s.X^o.X)
			}
		}
		c := mul(num, inv(den))
		for k, y := range s.Y {
			out[k] ^= mul(c, y)
		}
	}
	return out
}

func eval(poly []byte, x byte) byte {
	var y byte
	for i := len(poly) - 1; i >= 0; i-- {
		y = mul(y, x) ^ poly[i]
	}
	return y
}

// mul multiplies in GF(2^8), without a branch or an address that depends on a or b.
func mul(a, b byte) byte {
	var p byte
	for range 8 {
		p ^= a & -(b & 1)
		a = a<<1 ^ 0x1b&-(a>>7)
		b >>= 1
	}
	return p
}

// inv is a^254, the inverse; 0 for 0.
func inv(a byte) byte {
	out, sq := byte(1), a
	for range 7 { // 254 = 2+4+8+16+32+64+128
		sq = mul(sq, sq)
		out = mul(out, sq)
	}
	return out
}

// Text is the share as a line, without a line break.
func (s Share) Text() string {
	body := fmt.Sprintf("%s-%s-%d-%d-%d-%s", prefix, s.Set, s.M, s.N, s.X, hex.EncodeToString(s.Y))
	return body + "-" + checksum(body)
}

// Commitment is SHA-256 of the line, in hex.
func (s Share) Commitment() string {
	sum := sha256.Sum256([]byte(s.Text()))
	return hex.EncodeToString(sum[:])
}

// Clear forgets the share.
func (s Share) Clear() { clear(s.Y) }

func checksum(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:4])
}

// maxText bounds what Parse looks at.
const maxText = 2*MaxSecret + 128

// Parse reads a share, as it was decrypted or as somebody typed it: case and white
// space do not matter.
func Parse(text string) (Share, error) {
	if len(text) > 4*maxText {
		return Share{}, errors.New("read a share: it is too long to be one")
	}
	text = strings.ToLower(strings.Join(strings.Fields(text), ""))
	if len(text) > maxText || !strings.HasPrefix(text, prefix+"-") {
		return Share{}, errors.New("read a share: it does not begin with " + prefix)
	}
	f := strings.Split(strings.TrimPrefix(text, prefix+"-"), "-")
	if len(f) != 6 {
		return Share{}, fmt.Errorf("read a share: it has %d parts after its name, want 6", len(f))
	}
	cut := strings.LastIndexByte(text, '-')
	if checksum(text[:cut]) != text[cut+1:] {
		return Share{}, errors.New("read a share: its checksum is wrong: it was copied with a mistake, or cut")
	}
	s := Share{Set: f[0]}
	var err error
	if s.Y, err = hex.DecodeString(f[4]); err != nil || len(s.Y) == 0 || len(s.Y) > MaxSecret || !isSet(s.Set) {
		return Share{}, errors.New("read a share: its set or its value is not hex")
	}
	for _, n := range []struct {
		text string
		to   *int
	}{{f[1], &s.M}, {f[2], &s.N}} {
		if *n.to, err = number(n.text); err != nil {
			return Share{}, err
		}
	}
	x, err := number(f[3])
	if err != nil {
		return Share{}, err
	}
	s.X = byte(x)
	if s.M < 2 || s.N < s.M {
		return Share{}, fmt.Errorf("read a share: %d of %d cannot be", s.M, s.N)
	}
	return s, nil
}

// number reads 1 to 255, in the one form that Text writes.
func number(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > MaxShares || strconv.Itoa(n) != text {
		return 0, fmt.Errorf("read a share: %.8q is not a number from 1 to %d", text, MaxShares)
	}
	return n, nil
}

func isSet(s string) bool {
	return len(s) == 16 && strings.Trim(s, "0123456789abcdef") == ""
}
