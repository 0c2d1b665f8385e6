package sheet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/format/share"
)

// classic is a key that opens nothing.
const classic = "AGE-SECRET-KEY-18VSUR289H82S22276PAP0G9S4NMHAVQSZL6X2XA55E3QUL0463ZQZGYWLX"

func utf16Text(order binary.AppendByteOrder, mark bool, text string) []byte {
	var out []byte
	if mark {
		out = order.AppendUint16(out, 0xfeff)
	}
	for _, u := range utf16.Encode([]rune(text)) {
		out = order.AppendUint16(out, u)
	}
	return out
}

// Whatever people have on the worst day is taken.
func TestEveryFormOfAKeyIsRead(t *testing.T) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	key := id.String()
	whole, err := Sheet(key, id.Recipient().String(), "age:0", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i, l := range sheetLines(key) {
		lines = append(lines, fmt.Sprintf("%d  %s  / %s", i+1, strings.Join(groups(l), " "), lineSum(i+1, l)))
	}
	full := strings.Index(whole, "\n  "+key)
	ageFile := "# created: 2026-11-28T04:32:47Z\r\n# public key: age1x\r\n" + key + "\r\n"
	for name, text := range map[string]string{
		"the sheet": whole, "the sheet from Windows": strings.ReplaceAll(whole, "\n", "\r\n"), "the sheet without the key in full": whole[:full],
		"the sheet with a line that does not agree":    strings.Replace(whole, lineSum(2, sheetLines(key)[1]), "0000", 1),
		"the sheet with a slip in the key in full":     strings.Replace(whole, "\n  "+key, "\n  "+key[:40]+"\n", 1),
		"the sheet in UTF-16":                          string(utf16Text(binary.LittleEndian, true, whole)),
		"lines":                                        strings.Join(lines, "\n"),
		"lines, in small letters":                      strings.ToLower(strings.Join(lines, "\n")),
		"lines, after a beginning that was broken off": lines[0] + "\n" + strings.Join(lines, "\n"),
		"the key": key, "the key in groups": strings.Join(groups(key), " "), "the key over lines": strings.Join(sheetLines(key), "\n"),
		"blanks around": "  " + key + "  \n", "in quotes": `"` + key + `"`, "no-break spaces and dashes of a word processor": "\u00a0" +
			strings.ReplaceAll(key, "-", "\u2011") + "\u200b",
		"a file of age": ageFile, "with a mark of UTF-8": "\ufeff" + ageFile, "CR alone": strings.ReplaceAll(ageFile, "\r\n", "\r"),
		"UTF-16 of the other order":           string(utf16Text(binary.BigEndian, true, ageFile)),
		"UTF-16 without its mark":             string(utf16Text(binary.LittleEndian, false, ageFile)),
		"what PowerShell's redirection makes": string(utf16Text(binary.LittleEndian, true, key+"\r\n")),
		"twice":                               key + "\n" + key + "\n",
	} {
		got, err := Read(name, strings.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(got.Identities) != 1 || fmt.Sprint(got.Identities[0]) != key {
			t.Errorf("%s: got %d identities", name, len(got.Identities))
		}
	}
	two, err := Read("two", strings.NewReader(classic+"\n"+whole))
	if err != nil || len(two.Identities) != 2 {
		t.Errorf("two keys in one file: got %d, %v", len(two.Identities), err)
	}
}

func TestSharesAreReadLikeKeys(t *testing.T) {
	shares, err := share.Split([]byte(classic), "0011223344556677", 2, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b := shares[0].Text(), shares[1].Text()
	for name, text := range map[string]string{
		"lines": a + "\n" + b + "\n", "wrapped and from Windows": "\ufeff" + a[:80] + "\r\n" + a[80:] + "\r\n\r\n" + strings.ToUpper(b) + "\r\n",
	} {
		got, err := Read(name, strings.NewReader(text))
		if err != nil || len(got.Shares) != 2 || got.Shares[0] != a || got.Shares[1] != b {
			t.Errorf("%s: got %d shares, %v", name, len(got.Shares), err)
		}
	}
	if _, err := Read("cut", strings.NewReader(a[:len(a)-3])); err == nil || !strings.Contains(err.Error(), "checksum is wrong") {
		t.Errorf("a share that was cut: got %v", err)
	}
}

// What is not a key is explained, with its file and line, and is not shown.
func TestWhatIsNoKeyIsExplained(t *testing.T) {
	sheetWithSlip := "1  AGE- SECR ET-K EY-1 8VSU  / 0000\n"
	for name, c := range map[string]struct {
		text, want string
	}{
		"empty":                 {"", "empty: no recovery key"},
		"comments":              {"# hunter2\n", "no recovery key"},
		"a password":            {"hunter2hunter2\n", "no recovery key"},
		"a recipient":           {"age1l8y8ftwaq79e7lxuu5ctamtz8\n", "line 1: that is the recipient"},
		"a slip in a line":      {"\n" + sheetWithSlip, "line 2: line 1 does not agree with its checksum"},
		"a line is missing":     {fmt.Sprintf("1  AGE- SECR ET-K EY-1 8VSU / %s\n", lineSum(1, "AGE-SECRET-KEY-18VSU")), "line 2 is missing"},
		"a character short":     {classic[:len(classic)-1], "has 73 characters, and should have 74"},
		"a character wrong":     {strings.Replace(classic, "8VSUR", "8VSUA", 1), "does not agree with its own checksum"},
		"an SSH key":            {"-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n", "line 1: a key of another kind"},
		"encrypted, in PEM":     {"-----BEGIN AGE ENCRYPTED FILE-----\nhunter2\n", "itself encrypted by age"},
		"encrypted":             {"age-encryption.org/v1\n-> scrypt hunter2\n", "itself encrypted by age"},
		"a plugin's":            {"AGE-PLUGIN-YUBIKEY-1HUNTER2\n", "has no plugins"},
		"a PDF":                 {"%PDF-1.7 hunter2", "is a PDF"},
		"a document":            {"PK\x03\x04hunter2", "word processor"},
		"bytes":                 {"hunter2\x00\x01\x02", "zero bytes"},
		"far too long":          {strings.Repeat("hunter2 ", 20000), "too long"},
		"a key that never ends": {"AGE-SECRET-KEY-1" + strings.Repeat("\nQQQQQQQQQQQQQQQQQQQQ", 1500), "too long"},
	} {
		_, err := Read(name, strings.NewReader(c.text))
		var own *Error
		if !errors.As(err, &own) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
			continue
		}
		if strings.Contains(strings.ToLower(err.Error()), "hunter2") || strings.Contains(err.Error(), "8VSU") {
			t.Errorf("%s: the error shows what was read: %v", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(classic))
	f.Add([]byte("1  AGE- SECR ET-K EY-1 8VSU  / 0000\n"))
	f.Add(utf16Text(binary.BigEndian, false, "# a\n"+classic))
	f.Add([]byte("runner-share1-0011223344556677-2-3-1-00-00000000"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		keys, err := Read("f", bytes.NewReader(raw))
		if (err == nil) == keys.Empty() {
			t.Errorf("got %d keys and %v", len(keys.Identities)+len(keys.Shares), err)
		}
	})
}
