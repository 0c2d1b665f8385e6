// Package keyring keeps secrets: it wraps github.com/99designs/keyring, which
// offers one interface over a password-protected folder, the Secret Service, the
// kernel's keyring, pass and KWallet. Its last release is old; go.mod requires a
// jose2go with the fixes that it lacks, and the backend is always named, never
// picked by it.
//
// The password of the folder comes from a systemd credential, a file of mode
// 0600, or a prompt, in this order. Names of items are not hidden by it.
package keyring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"

	"github.com/99designs/keyring"
)

// Config names a keyring.
type Config struct {
	Backend    string // "file", "secret-service", "keyctl", "pass", "kwallet"
	Dir        string // of the file backend
	Credential string // name below $CREDENTIALS_DIRECTORY
	PassFile   string
	Password   func() (string, error) // prompt; nil: there is nobody to ask
}

// ErrNoItem says that a keyring holds no item of that name.
var ErrNoItem = errors.New("no such secret")

// ErrStray says that what lies under a name is not an item of it.
var ErrStray = errors.New("this is not an item of the keyring")

// CheckpointKey is the item that signs the ledger's checkpoints: runner's own, which
// List leaves out. It is made anew where it is lost, and so is not a secret to be saved.
const CheckpointKey = "runner-checkpoint-key"

// ErrLocked says that a keyring cannot be opened.
var ErrLocked = errors.New("the keyring is locked")

// locked words an error of a keyring that does not open; a want of this process is none
// of its locks.
func locked(err error) error {
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrLocked, err)
}

// Keyring is opened at its first use. It may be used concurrently.
type Keyring struct {
	cfg  Config
	mu   sync.Mutex
	ring keyring.Keyring
}

// New returns a keyring; nothing is opened yet.
func New(cfg Config) *Keyring { return &Keyring{cfg: cfg} }

const maxItem = 1 << 20

func (k *Keyring) open() (keyring.Keyring, error) {
	if k.ring != nil {
		return k.ring, nil
	}
	cfg := keyring.Config{ServiceName: "runner", AllowedBackends: []keyring.BackendType{keyring.BackendType(k.cfg.Backend)},
		KeychainTrustApplication: false, LibSecretCollectionName: "login", KWalletAppID: "runner", KWalletFolder: "runner",
		KeyCtlScope: "user", KeyCtlPerm: 0x3f000000, PassPrefix: "runner", FileDir: k.cfg.Dir}
	if k.cfg.Backend == "file" {
		if err := checkDir(k.cfg.Dir); err != nil {
			return nil, err
		}
		password, err := k.password()
		if err != nil {
			return nil, err
		}
		cfg.FilePasswordFunc = keyring.FixedStringPrompt(password)
	}
	ring, err := keyring.Open(cfg)
	if err != nil {
		return nil, fmt.Errorf("open keyring %s: %w", k.cfg.Backend, locked(err))
	}
	k.ring = ring
	return ring, nil
}

// checkDir makes the folder, or refuses one that others can read.
func checkDir(dir string) error {
	st, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make keyring folder: %w", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("open keyring folder: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("keyring folder %s can be read by others (mode %o)\nhint: chmod 700 %s", dir, st.Mode().Perm(), dir)
	}
	return nil
}

func (k *Keyring) password() (string, error) {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && k.cfg.Credential != "" {
		raw, err := os.ReadFile(filepath.Join(dir, filepath.Base(k.cfg.Credential)))
		if err == nil {
			return firstLine(raw), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("read credential %s: %w", k.cfg.Credential, err)
		}
	}
	if k.cfg.PassFile != "" {
		st, err := os.Stat(k.cfg.PassFile)
		if err != nil {
			return "", fmt.Errorf("read its password: %w", locked(err))
		}
		if st.Mode().Perm()&0o077 != 0 {
			return "", fmt.Errorf("%w: %s can be read by others (mode %o)\nhint: chmod 600 %s", ErrLocked, k.cfg.PassFile, st.Mode().Perm(),
				k.cfg.PassFile)
		}
		raw, err := os.ReadFile(k.cfg.PassFile)
		return firstLine(raw), err
	}
	if k.cfg.Password == nil {
		return "", fmt.Errorf("%w: there is no password for %s\nhint: give keyring(password_credential = …) or keyring(password_file = …) in "+
			"site.star; at a terminal runner asks", ErrLocked, k.cfg.Dir)
	}
	return k.cfg.Password()
}

func firstLine(raw []byte) string {
	line, _, _ := strings.Cut(string(raw), "\n")
	return strings.TrimRight(line, "\r")
}

// alone opens the keyring, and keeps other processes from a half-written item: a file
// backend writes in place. The lock is one on the folder: a file in it would be an item.
func (k *Keyring) alone(how int) (keyring.Keyring, func(), error) {
	ring, err := k.open()
	if err != nil || k.cfg.Backend != "file" {
		return ring, func() {}, err
	}
	dir, err := os.Open(k.cfg.Dir)
	if err != nil {
		return nil, func() {}, fmt.Errorf("lock keyring folder: %w", err)
	}
	if err := syscall.Flock(int(dir.Fd()), how); err != nil {
		dir.Close()
		return nil, func() {}, fmt.Errorf("lock keyring folder %s: %w", k.cfg.Dir, err)
	}
	return ring, func() { dir.Close() }, nil
}

// Get returns a secret. The caller clears it after use.
func (k *Keyring) Get(ctx context.Context, name string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	ring, done, err := k.alone(syscall.LOCK_SH)
	defer done()
	if err != nil {
		return nil, fmt.Errorf("read secret %s: %w", name, err)
	}
	item, err := ring.Get(name)
	switch {
	case err == nil && k.cfg.Backend == "file" && item.Key != name:
		clear(item.Data)
		return nil, fmt.Errorf("read secret %s: %w: its file holds the item %s under another name", name, ErrStray, item.Key)
	case errors.Is(err, keyring.ErrKeyNotFound):
		return nil, fmt.Errorf("read secret %s: %w\nhint: runner secret set %s", name, ErrNoItem, name)
	case err != nil && strings.Contains(err.Error(), "integrity check failed"):
		return nil, fmt.Errorf("read secret %s: %w: the password is wrong, or the item was made with another", name, ErrLocked)
	case err != nil:
		return nil, fmt.Errorf("read secret %s: %w", name, locked(err))
	}
	return item.Data, nil
}

// Set stores a secret; what was there is kept beside the folder until the new
// item is complete.
func (k *Keyring) Set(name string, value []byte) error {
	if len(value) == 0 || len(value) > maxItem {
		return fmt.Errorf("set secret %s: it has %d bytes, want 1 to %d", name, len(value), maxItem)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	ring, done, err := k.alone(syscall.LOCK_EX)
	defer done()
	if err != nil {
		return fmt.Errorf("set secret %s: %w", name, err)
	}
	if _, err := ring.Get(name); errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return fmt.Errorf("set secret %s: %w", name, err)
	} else if err != nil && !errors.Is(err, keyring.ErrKeyNotFound) {
		return fmt.Errorf("set secret %s: %w: the item that is there cannot be opened with this password", name, ErrLocked)
	}
	if err := ring.Set(keyring.Item{Key: name, Data: value, Label: "runner: " + name}); err != nil {
		return fmt.Errorf("set secret %s: %w", name, err)
	}
	back, err := ring.Get(name)
	if err != nil || string(back.Data) != string(value) {
		return fmt.Errorf("set secret %s: it does not read back: %v", name, err)
	}
	if err := k.flush(); err != nil {
		return fmt.Errorf("set secret %s: %w", name, err)
	}
	return nil
}

// flush makes a folder and what was written into it durable: a token that was rotated is
// worth nothing when it is lost with the power. The library does not sync its files.
func (k *Keyring) flush() error {
	if k.cfg.Backend != "file" {
		return nil
	}
	list, err := os.ReadDir(k.cfg.Dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := syncPath(filepath.Join(k.cfg.Dir, e.Name())); err != nil {
			return err
		}
	}
	return syncPath(k.cfg.Dir)
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Remove deletes a secret.
func (k *Keyring) Remove(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	ring, done, err := k.alone(syscall.LOCK_EX)
	defer done()
	if err != nil {
		return fmt.Errorf("remove secret %s: %w", name, err)
	}
	if _, err := ring.Get(name); errors.Is(err, keyring.ErrKeyNotFound) {
		return fmt.Errorf("remove secret %s: %w", name, ErrNoItem)
	}
	if err := ring.Remove(name); err != nil {
		return fmt.Errorf("remove secret %s: %w", name, err)
	}
	return nil
}

// List returns the names of all secrets that people set, sorted. What lies in the folder of a file
// keyring and is not an item is not among them: Stray names it.
func (k *Keyring) List() ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	ring, done, err := k.alone(syscall.LOCK_SH)
	defer done()
	if err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	var names []string
	if k.cfg.Backend == "file" {
		names, _, err = scan(k.cfg.Dir)
	} else if names, err = ring.Keys(); err != nil {
		err = locked(err)
	}
	if err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == CheckpointKey })
	sort.Strings(names)
	return names, nil
}
