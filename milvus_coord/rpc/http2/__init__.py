"""HTTP/2 connections that we open."""
