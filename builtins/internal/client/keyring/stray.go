package keyring

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mtibben/percent"
)

// Stray is something in the folder of a file keyring that is not an item: a folder such
// as lost+found, what a file manager or an editor left.
type Stray struct {
	Name string // of the item that it would be
	File string
	Why  string
}

// Reasons of what can never have been an item of runner's.
const (
	Folder  = "it is a folder"
	Foreign = "it is another program's"
)

// Stray returns what is not an item; other backends hold nothing else.
func (k *Keyring) Stray() ([]Stray, error) {
	if k.cfg.Backend != "file" {
		return nil, nil
	}
	_, stray, err := scan(k.cfg.Dir)
	return stray, err
}

// scan tells items from what else lies in the folder, by their form: none is opened.
func scan(dir string) (names []string, stray []Stray, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("read the keyring's folder: %w", err)
	}
	for _, f := range files {
		name := percent.Decode(f.Name())
		why, err := noItem(filepath.Join(dir, f.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed since
		case err != nil:
			return nil, nil, fmt.Errorf("read the keyring's folder: %w", err)
		case why != "":
			stray = append(stray, Stray{name, f.Name(), why})
		default:
			names = append(names, name)
		}
	}
	return names, stray, nil
}

// maxFile bounds the file of an item: its data is in base64 twice.
const maxFile = 4 * maxItem

// noItem says why a file is not an item: an item is a JWE in its compact form, five parts
// of base64 with dots between them.
func noItem(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		if l, lerr := os.Lstat(path); lerr == nil && l.Mode()&fs.ModeSymlink != 0 {
			return "it is a link to nothing", nil
		}
		return "", err
	}
	switch {
	case st.IsDir():
		return Folder, nil
	case !st.Mode().IsRegular():
		return "it is not a file", nil
	case st.Size() == 0:
		return "it is empty", nil
	case st.Size() > maxFile:
		return fmt.Sprintf("it has %d bytes, more than any item", st.Size()), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", err
	}
	parts := strings.Split(string(raw), ".")
	if len(parts) != 5 || !strings.HasPrefix(parts[0], "eyJ") || strings.ContainsFunc(string(raw), notBase64) {
		return "it does not have the form of an item", nil
	}
	return "", nil
}

func notBase64(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
}
