"""What kb knows: articles, quick replies, texts and how alike they are. Pure."""
