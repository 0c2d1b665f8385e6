package ledger

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// A checkpoint that is left on a target is signed, so that who forges it needs more
// than the target: the key lies in the host's keyring, and its verifier in the ledger,
// in reports and on paper. Notes are those of the Go checksum database.

// NewCheckpointKey makes a key under a name: what signs, to be kept secret, and what
// verifies.
func NewCheckpointKey(name string) (signer, verifier string, err error) {
	clean := strings.Map(func(r rune) rune {
		if r <= ' ' || r == '+' || r > '~' {
			return '-'
		}
		return r
	}, name)
	signer, verifier, err = note.GenerateKey(rand.Reader, "runner/"+clean)
	if err != nil {
		return "", "", fmt.Errorf("make a key for checkpoints: %w", err)
	}
	return signer, verifier, nil
}

// Sign is the checkpoint with a signature.
func (h Head) Sign(signer string) (string, error) {
	s, err := note.NewSigner(signer)
	if err != nil {
		return "", errors.New("sign the checkpoint: not a signing key") // the library's error shows it
	}
	signed, err := note.Sign(&note.Note{Text: h.Checkpoint()}, s)
	if err != nil {
		return "", fmt.Errorf("sign the checkpoint: %w", err)
	}
	return string(signed), nil
}

// unsigned cuts the signatures off.
func unsigned(text string) (string, bool) {
	head, _, signed := strings.Cut(text, "\n\n— ")
	if signed {
		return head + "\n", true
	}
	return text, false
}

// ErrUnsigned says that a checkpoint carries no signature of the keys that are known.
var ErrUnsigned = errors.New("it is not signed by a key of this ledger")

// SignedBy holds a checkpoint against verifiers: one of them must have signed it.
func SignedBy(text string, verifiers []string) error {
	var list []note.Verifier
	for _, v := range verifiers {
		known, err := note.NewVerifier(v)
		if err != nil {
			return fmt.Errorf("read the verifier %.80q: %w", v, err)
		}
		list = append(list, known)
	}
	if _, signed := unsigned(text); !signed {
		return ErrUnsigned
	}
	if _, err := note.Open([]byte(text), note.VerifierList(list...)); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsigned, err)
	}
	return nil
}

// CheckpointKey is the body of Witness.
type CheckpointKey struct {
	Verifier string `json:"verifier"`
	Size     int64  `json:"size"` // of the ledger when it began to sign: older checkpoints are not signed
}
