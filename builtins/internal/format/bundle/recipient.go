package bundle

import "filippo.io/age"

// RecipientOf is the public half of an identity, as it stands in site.star; "" for
// kinds that runner does not seal to.
func RecipientOf(id age.Identity) string {
	switch id := id.(type) {
	case *age.X25519Identity:
		return id.Recipient().String()
	case *age.HybridIdentity:
		return id.Recipient().String()
	}
	return ""
}
