package sheet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/format/share"
)

// Keys are what opens sealed copies.
type Keys struct {
	Identities []age.Identity
	Shares     []string // of custodians, each as share.Share.Text writes it
}

// Empty says that nothing was found.
func (k Keys) Empty() bool { return len(k.Identities)+len(k.Shares) == 0 }

// Add joins what several files hold.
func (k *Keys) Add(o Keys) {
	k.Identities = append(k.Identities, o.Identities...)
	k.Shares = append(k.Shares, o.Shares...)
}

// Error says why a text holds no key. It never shows what was read.
type Error struct {
	Name string // of the file
	Line int    // 0: of the whole
	Said string
	Hint string
}

func (e *Error) Error() string {
	text := e.Name
	if e.Line > 0 {
		text = fmt.Sprintf("%s, line %d", text, e.Line)
	}
	if e.Hint != "" {
		return text + ": " + e.Said + "\nhint: " + e.Hint
	}
	return text + ": " + e.Said
}

const (
	maxText = 64 << 10 // bytes of a file that may hold keys
	maxKeys = 64
)

// Read reads keys in every form that people have them in; name is reported in errors.
// At least one key is found, or that is an *Error; a reader's own error is handed on.
func Read(name string, r io.Reader) (Keys, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxText+1))
	defer clear(raw)
	if err != nil {
		return Keys{}, fmt.Errorf("read the key in %s: %w", name, err)
	}
	if len(raw) > maxText {
		return Keys{}, &Error{Name: name, Said: "too long to be a key", Hint: wanted}
	}
	text, err := plainText(raw)
	if err != nil {
		return Keys{}, &Error{Name: name, Said: err.Error(), Hint: "save it as plain text, or type the lines of the sheet: --identity -"}
	}
	var typed Typed
	var first *Error
	for i, line := range strings.Split(text, "\n") {
		if _, err := typed.Add(line); err != nil && first == nil {
			var le *LineError
			errors.As(err, &le)
			first = &Error{Name: name, Line: i + 1, Said: le.Said, Hint: le.Hint}
		}
	}
	keys, err := typed.Keys()
	switch {
	case err == nil:
		return keys, nil
	case first != nil:
		return Keys{}, first
	}
	return Keys{}, &Error{Name: name, Said: err.Error(), Hint: wanted}
}

const wanted = "want the sheet that runner recovery-key new printed, its lines, AGE-SECRET-KEY-…, or shares of custodians"

// plainText decodes what editors of any system write, and takes the characters out
// that they put in the place of blanks and hyphens.
func plainText(raw []byte) (string, error) {
	for magic, what := range map[string]string{"%PDF": "a PDF", "PK\x03\x04": "a word processor's file or a ZIP archive",
		"{\\rtf":                  "RTF, a word processor's file",
		"age-encryption.org/v1\n": "itself encrypted by age", "\x89PNG": "a picture", "\xff\xd8\xff": "a picture"} {
		if bytes.HasPrefix(raw, []byte(magic)) {
			return "", errors.New("the file is " + what)
		}
	}
	text := string(raw)
	if order := wide(raw); order != nil {
		units := make([]uint16, len(raw)/2)
		for i := range units {
			units[i] = order.Uint16(raw[2*i:])
		}
		text = string(utf16.Decode(units))
	}
	if strings.ContainsRune(text, 0) {
		return "", errors.New("not a text file: it holds zero bytes")
	}
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\f", "\n", "\u2028", "\n", "\u0085", "\n").Replace(text)
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case unicode.IsSpace(r):
			return ' '
		case r == '\u2010' || r == '\u2011' || r == '\u2012' || r == '\u2013' || r == '\u2014' || r == '\u2212':
			return '-'
		case r == '\ufeff' || r == '\u00ad' || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, text), nil
}

// wide tells UTF-16, with its mark or without: of text in ASCII every second byte is 0.
func wide(raw []byte) binary.ByteOrder {
	if len(raw) < 4 || len(raw)%2 != 0 {
		return nil
	}
	switch {
	case raw[0] == 0xff && raw[1] == 0xfe, raw[0] != 0 && raw[1] == 0 && raw[2] != 0 && raw[3] == 0:
		return binary.LittleEndian
	case raw[0] == 0xfe && raw[1] == 0xff, raw[0] == 0 && raw[1] != 0 && raw[2] == 0 && raw[3] != 0:
		return binary.BigEndian
	}
	return nil
}

// LineError says what is wrong with one line.
type LineError struct{ Said, Hint string }

func (e *LineError) Error() string { return e.Said }

// ErrKey says that what was read holds no key.
var ErrKey = errors.New("no recovery key in it")

// Typed collects keys line by line. The zero value is ready.
type Typed struct {
	keys      Keys
	seen      []string // identities, as text
	sheet     string   // lines of a sheet, those that agreed with their checksums
	lines     int      // of the sheet that were taken
	open      string   // a bare key or share that may go on in the next line
	threshold int      // of the shares
}

// Begun says that a line was taken since the last complete key.
func (t *Typed) Begun() bool { return t.sheet != "" || t.open != "" }

// Complete says that nothing more is needed: there is an identity, or as many shares
// as give one.
func (t *Typed) Complete() bool {
	if t.Begun() {
		return false
	}
	return len(t.keys.Identities) > 0 || len(t.keys.Shares) > 0 && len(t.keys.Shares) >= t.threshold
}

// Prompt names what comes next.
func (t *Typed) Prompt() string {
	if len(t.keys.Shares) > 0 && !t.Begun() {
		return fmt.Sprintf("share %d of %d: ", len(t.keys.Shares)+1, t.threshold)
	}
	return fmt.Sprintf("line %d: ", t.lines+1)
}

// Keys are those that are complete.
func (t *Typed) Keys() (Keys, error) {
	switch {
	case !t.keys.Empty():
		return t.keys, nil
	case t.open != "":
		return Keys{}, errors.New(unfinished(t.open))
	case t.sheet != "":
		return Keys{}, fmt.Errorf("the sheet's lines are not a recovery key yet: line %d is missing", t.lines+1)
	}
	return Keys{}, ErrKey
}

var (
	sheetLine = regexp.MustCompile(`^(?:([0-9]{1,2})[.:)]? +)?([A-Z0-9 -]{4,}?) */ *([^ /]{0,8})$`)
	keyText   = regexp.MustCompile(`^[A-Z0-9-]+$`)
)

// Add takes a line as it stands on the sheet, "1  AGE- SECR … / 1a2b" with or
// without its number; a bare key or share, in one line or several; what else stands
// on a sheet or in a file of age is passed over: neither taken, nor an error.
// An error is a *LineError.
func (t *Typed) Add(line string) (taken bool, err error) {
	line = strings.TrimSpace(line)
	upper := strings.ToUpper(line)
	compact := strings.Trim(strings.Join(strings.Fields(upper), ""), `"'`+"`,;")
	if m := sheetLine.FindStringSubmatch(upper); m != nil {
		return true, t.sheetLine(m[1], strings.Join(strings.Fields(m[2]), ""), m[3])
	}
	switch {
	case line == "" || strings.HasPrefix(line, "#"):
		return false, nil
	case strings.HasPrefix(compact, identityPrefix), strings.HasPrefix(compact, strings.ToUpper(sharePrefix)):
		t.open = ""
		return true, t.bare(compact)
	case strings.HasPrefix(compact, "AGE-PLUGIN-"):
		return false, &LineError{"the key lies in a device or service (AGE-PLUGIN): runner has no plugins",
			"open the file with age itself: age -d -i FILE"}
	case strings.HasPrefix(line, "age1"):
		return false, &LineError{"that is the recipient, the public half: it seals, and opens nothing", wanted}
	case strings.HasPrefix(upper, "-----BEGIN AGE ENCRYPTED FILE"):
		return false, &LineError{"the file is itself encrypted by age", "open it first: age -d FILE > key.txt"}
	case strings.HasPrefix(upper, "-----BEGIN"):
		return false, &LineError{"a key of another kind (SSH, TLS, PGP): copies are sealed to keys of age", wanted}
	case t.open != "" && keyText.MatchString(compact):
		return true, t.bare(t.open + compact)
	}
	return false, nil
}

const (
	identityPrefix = "AGE-SECRET-KEY-"
	sharePrefix    = "runner-share1-"
)

// bare takes a key or a share, or as much of one as there is.
func (t *Typed) bare(text string) error {
	if len(text) > maxText/4 {
		t.open = ""
		return &LineError{"too long to be a key", wanted}
	}
	t.open = text
	if strings.HasPrefix(text, identityPrefix) {
		if id := identity(text); id != nil {
			t.open = ""
			return t.identity(id, text)
		}
		return nil
	}
	if s, err := share.Parse(text); err == nil {
		t.open = ""
		if !slices.Contains(t.keys.Shares, s.Text()) {
			t.keys.Shares, t.threshold = append(t.keys.Shares, s.Text()), s.M
		}
		s.Clear()
	}
	return t.small()
}

func (t *Typed) identity(id age.Identity, text string) error {
	if !slices.Contains(t.seen, text) {
		t.seen = append(t.seen, text)
		t.keys.Identities = append(t.keys.Identities, id)
	}
	return t.small()
}

func (t *Typed) small() error {
	if len(t.keys.Identities)+len(t.keys.Shares) > maxKeys {
		return &LineError{fmt.Sprintf("more than %d keys", maxKeys), ""}
	}
	return nil
}

// sheetLine takes a line of the sheet.
func (t *Typed) sheetLine(number, text, sum string) error {
	n := t.lines + 1
	if number != "" && number != fmt.Sprint(n) {
		if number != "1" {
			return &LineError{fmt.Sprintf("that is line %s of the sheet; line %d comes now", number, n), ""}
		}
		t.sheet, t.lines, n = "", 0, 1 // a second sheet, or the first once more
	}
	if strings.ToLower(sum) != lineSum(n, text) {
		return &LineError{fmt.Sprintf("line %d does not agree with its checksum: a character is wrong", n), ""}
	}
	t.sheet += text
	t.lines++
	if id := identity(t.sheet); id != nil {
		whole := t.sheet
		t.sheet, t.lines = "", 0
		return t.identity(id, whole)
	}
	return nil
}

// identity reads a key; nil: it is none, or not all of one.
func identity(text string) age.Identity {
	ids, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil || len(ids) != 1 {
		return nil // age's own error shows what it read
	}
	return ids[0]
}

// unfinished explains what began like a key and is none.
func unfinished(text string) string {
	want, what := 0, "key"
	switch {
	case strings.HasPrefix(text, identityPrefix+"PQ-1"):
		want = 77
	case strings.HasPrefix(text, identityPrefix+"1"):
		want = 74
	case !strings.HasPrefix(text, identityPrefix):
		if _, err := share.Parse(text); err != nil {
			return err.Error()
		}
	}
	switch {
	case want == 0:
		return "a " + what + " of a kind that this runner does not know"
	case len(text) != want:
		return fmt.Sprintf("the key has %d characters, and should have %d: one is missing or too many", len(text), want)
	}
	return "the key does not agree with its own checksum: a character is wrong"
}
