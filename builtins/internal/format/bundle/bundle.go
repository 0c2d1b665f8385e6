// Package bundle writes and reads secrets that lie together in one age file.
//
// Inside is a tar, the same for the same secrets: hmac.key (32 random bytes), then
// secrets/NAME for every secret, sorted, mode 0600, owner 0, date 0. Nothing but
// age and tar is needed to read it:
//
//	age -d -i identity.txt bundle.age | tar x
//
// Names are escaped as in URLs where a character could mean something to a file
// system. Beside the bundle lies index.json, in clear: which files there are, for
// which recipients, and of every secret a keyed hash of its name and its size,
// rounded up to 64. The key of that hash is inside the bundle, so that nobody can
// try names; values leave no trace in the index at all. age authenticates every
// byte of the bundle, which is why there is no second digest of the values.
//
// A canary is a known text, sealed to exactly the same recipients: a key that
// opens it opens the bundle, and nothing secret is seen in trying.
//
// age refuses to mix hybrid (post-quantum) recipients with classic ones in one
// file, since the weaker would decide. Each class therefore has files of its own.
package bundle

import (
	"archive/tar"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"filippo.io/age"
)

// Limits of what is read.
const (
	MaxItems  = 1 << 16
	MaxName   = 1 << 10  // bytes of the name of a secret
	MaxIndex  = 32 << 20 // bytes of index.json
	maxHeader = 1 << 20  // bytes of the header of an age file
	keySize   = 32
)

const (
	keyFile = "hmac.key"
	folder  = "secrets/"
)

// Classes of recipients.
const (
	Hybrid  = "hybrid"  // X25519 with ML-KEM-768: age1pq1…
	Classic = "classic" // X25519: age1…
)

// ParseRecipient reads an age recipient and tells its class. Recipients of SSH keys
// and of plugins are refused: what opens them is not one line on a sheet of paper.
func ParseRecipient(text string) (age.Recipient, string, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "age1pq1") {
		r, err := age.ParseHybridRecipient(text)
		return r, Hybrid, err
	}
	r, err := age.ParseX25519Recipient(text)
	return r, Classic, err
}

// stanza is what a class is called in the header of an age file.
var stanza = map[string]string{Hybrid: "mlkem768x25519", Classic: "X25519"}

// NameHash is the keyed hash of a name, in hex.
func NameHash(key []byte, name string) string {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, name)
	return hex.EncodeToString(h.Sum(nil))
}

// Rounded is a size as the index shows it.
func Rounded(n int64) int64 { return (n + 63) / 64 * 64 }

// Writer makes a bundle.
type Writer struct {
	sealed io.WriteCloser
	tar    *tar.Writer
	last   string
}

// NewWriter begins a bundle. key is that of the index; all recipients are of one
// class.
func NewWriter(w io.Writer, key []byte, recipients ...age.Recipient) (*Writer, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("seal secrets: the key of the index has %d bytes, want %d", len(key), keySize)
	}
	sealed, err := age.Encrypt(w, recipients...)
	if err != nil {
		return nil, fmt.Errorf("seal secrets: %w", err)
	}
	b := &Writer{sealed: sealed, tar: tar.NewWriter(sealed)}
	return b, b.entry(keyFile, keySize, strings.NewReader(string(key)))
}

// Add seals a secret of that size. Secrets come sorted by name, each once.
func (b *Writer) Add(name string, size int64, r io.Reader) error {
	if name == "" || len(name) > MaxName || name <= b.last {
		return fmt.Errorf("seal secrets: the name %.40q is empty, too long, or not in order", name)
	}
	b.last = name
	return b.entry(folder+Escape(name), size, r)
}

func (b *Writer) entry(name string, size int64, r io.Reader) error {
	err := b.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: time.Unix(0, 0),
		Format: tar.FormatPAX})
	var n int64
	if err == nil {
		n, err = io.Copy(b.tar, r)
	}
	if err == nil && n != size {
		err = fmt.Errorf("it has %d bytes, announced were %d", n, size)
	}
	if err != nil {
		return fmt.Errorf("seal a secret: %w", err)
	}
	return nil
}

// Close ends the bundle. It does not close what is below.
func (b *Writer) Close() error {
	err := b.tar.Close()
	if cerr := b.sealed.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("seal secrets: %w", err)
	}
	return nil
}

// Escape makes the name of a file in one folder out of any name: what could lead
// elsewhere, or is not printable, becomes %XX; so does a slash, for a secret "a" and
// one "a/b" cannot be a file and a folder of one name.
func Escape(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		c := name[i]
		first := i == 0 || name[i-1] == '/' // no ".." anywhere, even once it is unescaped
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-@+=", c) >= 0 ||
			c == '.' && !first
		if plain {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Reader reads a bundle.
type Reader struct {
	Key  []byte // of the index
	tar  *tar.Reader
	all  io.Reader
	last string
	n    int
}

// NewReader opens a bundle. The error is age's *NoIdentityMatchError when none of
// the identities is one of its recipients'.
func NewReader(r io.Reader, ids ...age.Identity) (*Reader, error) {
	clear, err := age.Decrypt(r, ids...)
	if err != nil {
		return nil, fmt.Errorf("open the bundle: %w", err)
	}
	b := &Reader{tar: tar.NewReader(clear), all: clear}
	h, err := b.tar.Next()
	if err != nil {
		return nil, fmt.Errorf("open the bundle: %w", err)
	}
	if h.Name != keyFile || h.Size != keySize {
		return nil, errors.New("open the bundle: it does not begin with the key of its index")
	}
	b.Key = make([]byte, keySize)
	if _, err := io.ReadFull(b.tar, b.Key); err != nil {
		return nil, fmt.Errorf("open the bundle: %w", err)
	}
	return b, nil
}

// Next goes on to the next secret, whose bytes Read then gives. io.EOF is the end
// of a bundle that is complete.
func (b *Reader) Next() (name string, size int64, err error) {
	h, err := b.tar.Next()
	if err == io.EOF {
		// The tar has ended; the age file has to end, too, and at its last chunk.
		n, rerr := io.Copy(io.Discard, io.LimitReader(b.all, 1<<16))
		if rerr == nil && n == 1<<16 {
			rerr = errors.New("something follows the secrets")
		}
		if rerr != nil {
			return "", 0, fmt.Errorf("read the bundle: %w", rerr)
		}
		return "", 0, io.EOF
	}
	if err != nil {
		return "", 0, fmt.Errorf("read the bundle: %w", err)
	}
	if b.n++; b.n > MaxItems {
		return "", 0, fmt.Errorf("read the bundle: it has more than %d secrets", MaxItems)
	}
	path, ours := strings.CutPrefix(h.Name, folder)
	name, uerr := url.PathUnescape(path)
	if !ours || uerr != nil || h.Typeflag != tar.TypeReg || name == "" || len(name) > MaxName || Escape(name) != path || name <= b.last {
		return "", 0, fmt.Errorf("read the bundle: entry %d is not a secret, or not in order", b.n)
	}
	b.last = name
	return name, h.Size, nil
}

// Read reads the secret that Next came to.
func (b *Reader) Read(p []byte) (int, error) { return b.tar.Read(p) }

// canaryText is what a canary holds.
func canaryText(set string) string {
	return "runner canary of set " + set + ": the key that opens this opens the bundle beside it\n"
}

// WriteCanary seals the canary of a set.
func WriteCanary(w io.Writer, set string, recipients ...age.Recipient) error {
	c, err := age.Encrypt(w, recipients...)
	if err == nil {
		_, err = io.WriteString(c, canaryText(set))
	}
	if err == nil {
		err = c.Close()
	}
	if err != nil {
		return fmt.Errorf("seal the canary: %w", err)
	}
	return nil
}

// OpenCanary opens the canary of a set.
func OpenCanary(r io.Reader, set string, ids ...age.Identity) error {
	clear, err := age.Decrypt(r, ids...)
	if err != nil {
		return fmt.Errorf("open the canary: %w", err)
	}
	want := canaryText(set)
	got, err := io.ReadAll(io.LimitReader(clear, int64(len(want))+1))
	if err != nil {
		return fmt.Errorf("open the canary: %w", err)
	}
	if string(got) != want {
		return errors.New("open the canary: it is that of another set")
	}
	return nil
}
