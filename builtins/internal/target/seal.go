package target

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"

	"filippo.io/age"
	"github.com/neosofia/runner/runtime/failure"
)

const (
	sealChunk    = 64 << 10 // clear bytes of a chunk of an age file
	sealOverhead = 16       // bytes that a chunk has beyond them, and the nonce before the first
)

// Fingerprint names a recipient shortly: hybrid recipients have 1959 characters.
func Fingerprint(recipient string) string {
	sum := sha256.Sum256([]byte(strings.TrimSpace(recipient)))
	return "age:" + hex.EncodeToString(sum[:8])
}

func parseRecipient(s string) (age.Recipient, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "age1pq1") {
		return age.ParseHybridRecipient(s)
	}
	return age.ParseX25519Recipient(s)
}

// readySeals parses the recipients and learns what sealing for them costs. age
// refuses to mix the two kinds in one file, since the weaker would decide.
func (t *Target) readySeals() error {
	for i, s := range t.spec.SealedTo {
		r, err := parseRecipient(s)
		if err != nil {
			return badTarget(t.spec.Name, "recipient %d of sealed_to is not an age recipient (age1… or age1pq1…)", i+1)
		}
		t.seals = append(t.seals, r)
		t.prints = append(t.prints, Fingerprint(s))
	}
	if len(t.seals) == 0 {
		return nil
	}
	r, err := age.EncryptReader(strings.NewReader(""), t.seals...)
	if err != nil {
		return badTarget(t.spec.Name, "the recipients cannot be used together: %v", err)
	}
	n, err := io.Copy(io.Discard, r)
	if err != nil {
		return badTarget(t.spec.Name, "seal for the recipients: %v", err)
	}
	t.head = n - 2*sealOverhead
	if t.spec.PartSize > 0 && t.clearPart() <= 0 {
		return badTarget(t.spec.Name, "a part of %d bytes has no room for the head of an age file (%d bytes)", t.spec.PartSize, n)
	}
	return nil
}

// sealedSize returns the bytes of an age file with n clear bytes.
func (t *Target) sealedSize(n int64) int64 {
	chunks := max(1, (n+sealChunk-1)/sealChunk)
	return t.head + sealOverhead + n + chunks*sealOverhead
}

// clearPart returns how many clear bytes go into a part; 0: files are not cut.
func (t *Target) clearPart() int64 {
	room := t.spec.PartSize
	if room == 0 || len(t.seals) == 0 {
		return room
	}
	room -= t.head + sealOverhead
	whole := room / (sealChunk + sealOverhead)
	rest := room % (sealChunk + sealOverhead)
	return whole*sealChunk + max(0, rest-sealOverhead)
}

// summed takes the digest of what is read through it.
type summed struct {
	r io.Reader
	h hash.Hash
	n int64
}

func newSummed(r io.Reader) *summed { return &summed{r: r, h: sha256.New()} }

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.h.Write(p[:n])
	s.n += int64(n)
	return n, err
}

func (s *summed) hex() string { return hex.EncodeToString(s.h.Sum(nil)) }

// openSealed decrypts one stored file.
func (t *Target) openSealed(name string, r io.Reader, ids []age.Identity) (io.Reader, error) {
	if len(ids) == 0 {
		return nil, &failure.Error{Code: CodeNoIdentity, System: system(t.spec.Name), Doing: "open " + name,
			Said: "it is sealed and there is no identity",
			Hint: "give the recovery identity"}
	}
	clear, err := age.Decrypt(r, ids...)
	if err == nil {
		return clear, nil
	}
	if _, ok := errorAs[*age.NoIdentityMatchError](err); ok {
		return nil, &failure.Error{Code: CodeNoIdentity, System: system(t.spec.Name), Doing: "open " + name,
			Said: fmt.Sprintf("none of the %d identities opens it", len(ids)),
			Hint: "see sealed_to in the manifest for the fingerprints of the recipients", Cause: err}
	}
	return nil, t.opening(name, err)
}

// opening says of an error while decrypting whether the medium or the bytes are at fault.
func (t *Target) opening(name string, err error) error {
	if err, ok := settled(t.spec.Name, err); ok {
		return err
	}
	return damaged(t.spec.Name, "open "+name, "%v", err)
}
