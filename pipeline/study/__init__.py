"""The human study: methods compared blind by people; asking/ is their page, analysis/ reads their answers."""
