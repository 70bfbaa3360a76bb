// Prints a new private key in PEM: with it an API server signs the tokens of service accounts.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log"
	"os"
)

func main() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatalf("make a key: %v", err)
	}
	bytes, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		log.Fatalf("encode the key: %v", err)
	}
	if err := pem.Encode(os.Stdout, &pem.Block{Type: "EC PRIVATE KEY", Bytes: bytes}); err != nil {
		log.Fatalf("write the key: %v", err)
	}
}
