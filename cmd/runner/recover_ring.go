package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/neosofia/runner/builtins"
	"golang.org/x/term"
)

// newRing is a new keyring for secrets that come back: what is there already is not
// mixed with them.
func (r recoverFlags) newRing(lab bool) (func(name string, value []byte) error, error) {
	list, err := os.ReadDir(r.ring)
	switch {
	case err == nil && len(list) > 0:
		return nil, usage("--keyring %s: it is not empty\nhint: name a new folder, and put it in its place when all is back", r.ring)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, usage("--keyring %s: %v", r.ring, err)
	}
	c := builtins.KeyringConfig{Backend: "file", Dir: r.ring, PassFile: r.ringPass}
	switch {
	case r.ringPass != "":
	case lab:
		c.Password = func() (string, error) { return "lab", nil }
	case !term.IsTerminal(int(os.Stdin.Fd())):
		return nil, usage("--keyring: there is nobody to ask for its password\nhint: --keyring-password-file FILE, of mode 0600")
	default:
		c.Password = func() (string, error) { return askTwice("password of the new keyring in " + r.ring + ": ") }
	}
	return builtins.NewKeyring(c).Set, nil
}

func askTwice(prompt string) (string, error) {
	ask := func(prompt string) ([]byte, error) {
		fmt.Fprint(os.Stderr, prompt)
		v, err := term.ReadPassword(int(os.Stdin.Fd()))
		fmt.Fprintln(os.Stderr)
		return v, err
	}
	first, err := ask(prompt)
	if err != nil {
		return "", err
	}
	defer clear(first)
	second, err := ask("once more: ")
	if err != nil {
		return "", err
	}
	defer clear(second)
	if !bytes.Equal(first, second) || len(first) == 0 {
		return "", errors.New("the two do not agree, or are empty")
	}
	return string(first), nil
}
