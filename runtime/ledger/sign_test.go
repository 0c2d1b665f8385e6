package ledger

import (
	"errors"
	"strings"
	"testing"
)

func TestASignedCheckpointIsReadAndHeldAgainstItsKey(t *testing.T) {
	signer, verifier, err := NewCheckpointKey("pve 1+x")
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := NewCheckpointKey("pve1")
	if err != nil {
		t.Fatal(err)
	}
	head := Head{Size: 42, Root: [32]byte{1, 2}}
	text, err := head.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseCheckpoint(text); err != nil || got != head {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := ParseCheckpoint(head.Checkpoint()); err != nil || got != head {
		t.Errorf("without a signature: got %+v, %v", got, err)
	}
	if err := SignedBy(text, []string{other, verifier}); err != nil {
		t.Errorf("its own key: %v", err)
	}
	for name, c := range map[string]struct {
		text string
		keys []string
	}{
		"another key":      {text, []string{other}},
		"no signature":     {head.Checkpoint(), []string{verifier}},
		"another size":     {strings.Replace(text, "\n42\n", "\n43\n", 1), []string{verifier}},
		"half a signature": {text[:len(text)-9] + "\n", []string{verifier}},
	} {
		if err := SignedBy(c.text, c.keys); !errors.Is(err, ErrUnsigned) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := head.Sign("hunter2hunter2"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a key that is none: got %v", err)
	}
}
