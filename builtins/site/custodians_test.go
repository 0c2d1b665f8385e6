package site

import (
	"strings"
	"testing"

	"github.com/neosofia/runner/runtime"
)

func TestCustodiansAreDifferentPeople(t *testing.T) {
	s, err := Load("site.star", []byte("custodian(name = \"anna\", recipient = \"age1a\")\ncustodian(name = \"ben\", recipient = \" age1b "+
		"\")\nkeyring(names = \"shown\")\n"), runtime.Limits{})
	if err != nil || len(s.Custodians) != 2 || s.Custodians[1] != (Custodian{"ben", "age1b"}) || s.Keyring.Names != "shown" {
		t.Errorf("got %+v, %v", s, err)
	}
	for _, c := range []struct{ name, text, want string }{
		{"one twice", "custodian(name = \"anna\", recipient = \"age1a\")\ncustodian(name = \"anna\", recipient = \"age1b\")", "declared twice"},
		{"two with one key", "custodian(name = \"anna\", recipient = \"age1a\")\ncustodian(name = \"ben\", recipient = \"age1a\")",
			"they are one"},
		{"a name that is a path", `custodian(name = "../anna", recipient = "age1a")`, "want a-z"},
		{"a key of ssh", `custodian(name = "anna", recipient = "ssh-ed25519 AAAA")`, "want an age recipient"},
		{"a secret key", `custodian(name = "anna", recipient = "AGE-SECRET-KEY-1HUNTER2")`, "compromised"},
		{"names of no kind", `keyring(names = "some")`, "want hidden or shown"},
	} {
		_, err := Load("site.star", []byte(c.text), runtime.Limits{})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "HUNTER2") {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}
