package site

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"
)

// Custodian keeps a share of the identity that opens the sealed secrets.
type Custodian struct {
	Name      string // a-z, 0-9 and -: it is in the name of the file of the share
	Recipient string // age recipient of the custodian's own key
}

type custodianArgs struct {
	Name      string `star:"name" doc:"a-z, 0-9 and -: it is in the name of the file of the share"`
	Recipient string `star:"recipient" doc:"age recipient (age1… or age1pq1…) of the custodian's own key: the share is sealed to it"`
}

func (b *builder) custodian(a *custodianArgs) (starlark.Value, error) {
	c := Custodian{a.Name, strings.TrimSpace(a.Recipient)}
	if err := CheckCustodians(append(b.site.Custodians[:len(b.site.Custodians):len(b.site.Custodians)], c)); err != nil {
		return nil, err
	}
	b.site.Custodians = append(b.site.Custodians, c)
	return nil, nil
}

// CheckCustodians refuses what would make fewer people than it seems.
func CheckCustodians(list []Custodian) error {
	names, keys := map[string]bool{}, map[string]string{}
	for _, c := range list {
		if c.Name == "" || len(c.Name) > 40 || c.Name[0] == '-' || strings.Trim(c.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return fmt.Errorf("custodian %q: want a-z, 0-9 and - in the name", c.Name)
		}
		if names[c.Name] {
			return fmt.Errorf("custodian %q is declared twice", c.Name)
		}
		if strings.HasPrefix(c.Recipient, "AGE-SECRET-KEY") {
			return errors.New("that is the custodian's secret key, and it is compromised now: give the recipient (age1…)\nhint: age-keygen -y " +
				"KEYFILE prints it")
		}
		if !strings.HasPrefix(c.Recipient, "age1") {
			return fmt.Errorf("custodian %s: want an age recipient (age1… or age1pq1…)", c.Name)
		}
		if other := keys[c.Recipient]; other != "" {
			return fmt.Errorf("custodians %s and %s have the same key: they are one", other, c.Name)
		}
		names[c.Name], keys[c.Recipient] = true, c.Name
	}
	return nil
}
